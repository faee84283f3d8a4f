/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of pods as the local executor understands them, its volumes, and what it ignores. */
#include "scheduler/exec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/util.h"
#include "exec/local.h"
#include "scheduler/artifact.h"
#include "tests/support/temp_dir.h"

struct fixture {
    struct temp_dir dir;
    struct loop *loop;
    struct artifact_store *store;
    struct executor exec;
    struct local_settings settings;
    int done;
    enum err_code code;
    char reason[2048];
};

/* With ' for ". */
static json_t *j(const char *text)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(text);
    for (char *p = copy; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p == '`' ? '\'' : *p;
    }
    struct err err = ERR_INIT;
    json_t *value = jread_text(copy, strlen(copy), "test", &err);
    if (value == NULL) {
        fail_msg("%s: %s", copy, err.msg);
    }
    return value;
}

static void open_executor(struct fixture *f)
{
    struct err err = ERR_INIT;
    if (executor_local_new(f->loop, &f->settings, &f->exec, &err) != 0) {
        fail_msg("%s", err.msg);
    }
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = ERR_INIT;
    temp_dir_init(&f->dir);
    f->loop = loop_new(&err);
    f->store = artifact_store_new(temp_path(&f->dir, "artifacts"), &err);
    f->settings = (struct local_settings){
        .data_dir = f->dir.path, .launcher = LAUNCHER, .artifacts = f->store, .no_mounts = true};
    open_executor(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->exec.ops->free(f->exec.self);
    artifact_store_free(f->store);
    loop_free(f->loop);
    temp_dir_done(&f->dir);
    free(f);
    return 0;
}

/* ---- what an order gets ---- */

#define RUN "0f0e0d0c-0000-4000-8000-000000000001"
#define TASK "1f0e0d0c-0000-4000-8000-000000000002"
#define POD_ENV                                                                                    \
    "{'name':'KFP_POD_NAME','value':'local-0f0e0d0c-1f0e0d0c-3'},{'name':'KFP_POD_UID','value':"   \
    "'" TASK "'},{'name':'NAMESPACE','value':'local'}"
#define VOLUMES                                                                                    \
    "'volumes':[{'name':'s','secret':{'secretName':'db'}},{'name':'so','secret':{'secretName':"    \
    "'none','optional':true}},{'name':'c','configMap':{'name':'conf'}},{'name':'e','emptyDir':"    \
    "{}},{'name':'g','ephemeral':{'volumeClaimTemplate':{}}},{'name':'p','persistentVolumeClaim':" \
    "{'claimName':'my-claim'}},{'name':'h','hostPath':{'path':'/'}}]"

static void test_orders(void **state)
{
    struct fixture *f = *state;
    /* $D is the data folder, $A the attempt's. */
    static const struct {
        const char *name, *container, *order;
        const char *key, *want; /* what order[key] is then; NULL: absent */
    } rows[] = {
        {"nothing said", "{}", "{'timeout_s':0}", "base_env", "[" POD_ENV "]"},
        {"no mounts", "{}", "{}", "mounts", NULL},
        {"no mounting", "{}", "{}", "mounting", NULL},
        {"texts", "{'pod':{'env':[{'name':'A','value':'x$(B)'},{'name':'B'}]}}", "{}", "base_env",
            "[" POD_ENV ",{'name':'A','value':'x$(B)'},{'name':'B','value':''}]"},
        {"key of a secret",
            "{'pod':{'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'db','key':'pw'}}}]}}",
            "{}", "base_env",
            "[" POD_ENV ",{'name':'A','file':'$D/secrets/db/pw','of':'key `pw` of secret `db`',"
            "'is_optional':false,'is_secret':true}]"},
        {"key of a config map, optional",
            "{'pod':{'env':[{'name':'A','valueFrom':{'configMapKeyRef':{'name':'c','key':'k.x',"
            "'optional':true}}}]}}",
            "{}", "base_env",
            "[" POD_ENV ",{'name':'A','file':'$D/config-maps/c/k.x','of':'key `k.x` of config map "
            "`c`','is_optional':true,'is_secret':false}]"},
        {"a name that leads elsewhere",
            "{'pod':{'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'..','key':'x'}}}]}}",
            "{}", "base_env",
            "[" POD_ENV ",{'name':'A','file':'$D/secrets/-/-','of':'key `x` of secret `..`',"
            "'is_optional':false,'is_secret':true}]"},
        {"a key that leads elsewhere",
            "{'pod':{'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s','key':'../x'}}}]}}",
            "{}", "base_env",
            "[" POD_ENV ",{'name':'A','file':'$D/secrets/-/-','of':'key `../x` of secret `s`',"
            "'is_optional':false,'is_secret':true}]"},
        {"fields of the pod",
            "{'service_account':'me','pod':{'labels':{'a/b':'$(x)'},'annotations':{'n':'v'},'env':["
            "{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'metadata.labels[`a/b`]'}}},"
            "{'name':'B','valueFrom':{'fieldRef':{'fieldPath':'metadata.annotations[`n`]'}}},"
            "{'name':'C','valueFrom':{'fieldRef':{'fieldPath':'metadata.labels[`no`]'}}},"
            "{'name':'E','valueFrom':{'fieldRef':{'fieldPath':'spec.serviceAccountName'}}},"
            "{'name':'F','valueFrom':{'fieldRef':{'fieldPath':'status.podIP'}}},"
            "{'name':'G','valueFrom':{'fieldRef':{'fieldPath':'metadata.uid'}}},"
            "{'name':'H','valueFrom':{'fieldRef':{'fieldPath':'spec.unknown'}}}]}}",
            "{}", "base_env",
            "[" POD_ENV ",{'name':'A','value':'$$(x)'},{'name':'B','value':'v'},{'name':'C','value'"
            ":''},{'name':'E','value':'me'},{'name':'F','value':'127.0.0.1'},{'name':'G','value':"
            "'" TASK "'}]"},
        {"volumes",
            "{'pod':{" VOLUMES ",'volumeMounts':["
            "{'name':'s','mountPath':'/s'},{'name':'so','mountPath':'/so'},"
            "{'name':'c','mountPath':'/c'},{'name':'e','mountPath':'/e'},"
            "{'name':'g','mountPath':'/g'},{'name':'p','mountPath':'/p'},"
            "{'name':'p','mountPath':'/ps','subPath':'a/b'},"
            "{'name':'p','mountPath':'/pr','readOnly':true},"
            "{'name':'p','mountPath':'/pp','subPath':'../x'},"
            "{'name':'h','mountPath':'/h'},{'name':'none','mountPath':'/n'}]}}",
            "{}", "mounts",
            "[{'path':'/s','from':'$D/secrets/db','of':'secret `db`','make':false,'read_only':true,"
            "'is_quiet':false,'is_secret':true},"
            "{'path':'/so','from':'$A/volumes/so','of':'secret `none`','make':true,'read_only':"
            "true,'is_quiet':false,'is_secret':true},"
            "{'path':'/c','from':'$D/config-maps/conf','of':'config map `conf`','make':false,"
            "'read_only':true,'is_quiet':false,'is_secret':false},"
            "{'path':'/e','from':'$A/volumes/e','of':'volume `e`','make':true,'read_only':false,"
            "'is_quiet':false,'is_secret':false},"
            "{'path':'/g','from':'$A/volumes/g','of':'volume `g`','make':true,'read_only':false,"
            "'is_quiet':false,'is_secret':false},"
            "{'path':'/p','from':'$D/volumes/my-claim','of':'volume claim `my-claim`','make':"
            "false,'read_only':false,'is_quiet':false,'is_secret':false},"
            "{'path':'/ps','from':'$D/volumes/my-claim/a/b','of':'volume claim `my-claim`','make':"
            "true,'read_only':false,'is_quiet':false,'is_secret':false},"
            "{'path':'/pr','from':'$D/volumes/my-claim','of':'volume claim `my-claim`','make':"
            "false,'read_only':true,'is_quiet':false,'is_secret':false},"
            "{'path':'/pp','from':'$D/volumes/my-claim','of':'volume claim `my-claim`','make':"
            "false,'read_only':false,'is_quiet':false,'is_secret':false}]"},
        {"how to mount", "{'workspace':{'claim':'w'}}", "{}", "mounting",
            "{'is_allowed':false,'dir':'$A/mnt','keep':['$D','$D/artifacts']}"},
        {"workspace", "{'workspace':{'claim':'w','path':'/kfp-workspace'}}", "{}", "mounts",
            "[{'path':'/kfp-workspace','from':'$D/volumes/w','of':'the run`s workspace','make':true"
            ",'read_only':false,'is_quiet':true,'is_secret':false}]"},
        {"variables of mounts", "{'workspace':{'claim':'w','path':'/kfp-workspace'}}", "{}",
            "base_env",
            "[" POD_ENV ",{'name':'RONDO_MOUNT_1','value':'$D/volumes/w'},{'name':'RONDO_MOUNTS',"
            "'value':'{\\'/kfp-workspace\\':\\'$D/volumes/w\\'}'}]"},
    };
    CLEANUP(cleanup_free) char *dir = xasprintf("%s/work/x", f->dir.path);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        struct local_attempt a = {.local = f->exec.self, .dir = dir, .attempt = 3};
        memcpy(a.run.text, RUN, ID_LEN + 1);
        memcpy(a.task.text, TASK, ID_LEN + 1);
        a.container = j(rows[i].container);
        json_t *order = j(rows[i].order);
        local_add_settings(&a, order);
        const json_t *value = json_object_get(order, rows[i].key);
        CLEANUP(cleanup_free) char *got = value != NULL ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
        if (rows[i].want == NULL) {
            assert_null(got);
        } else {
            /* $A and $D are put into the text; "$$" and "$(" are the expansion's own. */
            struct buf text;
            buf_init(&text, 64 * 1024);
            for (const char *p = rows[i].want; *p != '\0'; p++) {
                if (strncmp(p, "$D/", 3) == 0 || strncmp(p, "$D'", 3) == 0 ||
                    strncmp(p, "$A/", 3) == 0) {
                    buf_adds(&text, p[1] == 'D' ? f->dir.path : dir);
                    p++;
                } else {
                    buf_addc(&text, *p);
                }
            }
            json_t *want = strchr("[{", rows[i].want[0]) != NULL
                               ? j(buf_str(&text))
                               : json_integer(strtol(rows[i].want, NULL, 10));
            if (!json_equal(value, want)) {
                CLEANUP(cleanup_free) char *wanted = json_dumps(want, JSON_ENCODE_ANY);
                fail_msg("got  %s\nwant %s", got, wanted);
            }
            json_decref(want);
            buf_done(&text);
        }
        json_decref(order);
        json_decref(a.container);
    }
}

static void test_ignored(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *container, *want;
        bool may_mount;
    } rows[] = {
        {"nothing", "{}", "", true},
        {"honoured",
            "{'pod':{'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'metadata.name'}}}],"
            "'activeDeadlineSeconds':5," VOLUMES
            ",'volumeMounts':[{'name':'e','mountPath':'/e'}],'tolerations':[],'labels':{}}}",
            "sizes of volumes", true},
        {"all of it",
            "{'pod':{'nodeSelector':{'a':'b'},'tolerations':[{}],'affinity':{'x':1},"
            "'imagePullSecrets':[{'name':'x'}],'imagePullPolicy':'Always','labels':{'a':'b'},"
            "'annotations':{'a':'b'},'securityContext':{'runAsUser':1},'initContainers':[{}]}}",
            "nodeSelector, tolerations, affinity, imagePullSecrets, imagePullPolicy, labels, "
            "annotations, securityContext, initContainers",
            true},
        {"resources",
            "{'resources':{'requests':{'cpu':'1'},'limits':{'cpu':'2','nvidia.com/gpu':'1'}}}",
            "resource cpu, resource nvidia.com/gpu", true},
        {"mounts that cannot be", "{'pod':{'volumeMounts':[{'name':'e','mountPath':'/e'}]}}",
            "mount paths of volumes (RONDO_MOUNT_<n> names their folders)", false},
        {"fields", "{'pod':{'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'spec.x'}}}]}}",
            "fields of the pod in variables", true},
        {"size of a folder", "{'pod':{'volumes':[{'name':'e','emptyDir':{'sizeLimit':'1Gi'}}]}}",
            "sizes of volumes", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        ((struct local *)f->exec.self)->may_mount = rows[i].may_mount;
        json_t *container = j(rows[i].container);
        struct buf out;
        buf_init(&out, 4096);
        f->exec.ops->ignored(f->exec.self, container, &out);
        assert_string_equal(buf_str(&out), rows[i].want);
        buf_done(&out);
        json_decref(container);
    }
}

/* ---- volumes ---- */

static void on_volume(void *owner, const struct err *err)
{
    struct fixture *f = owner;
    f->done++;
    f->code = err != NULL ? err->code : ERR_NONE;
    snprintf(f->reason, sizeof f->reason, "%s", err != NULL ? err->msg : "");
}

static void wait_volume(struct fixture *f)
{
    assert_int_equal(f->done, 0); /* never inside the call */
    for (int i = 0; i < 100 && f->done == 0; i++) {
        loop_turn(f->loop, false);
    }
    assert_int_equal(f->done, 1);
    f->done = 0;
}

static enum err_code create(struct fixture *f, const char *name, const char *maker)
{
    json_t *claim = json_pack("{s:s,s:{s:s,s:{s:s}}}", "kind", "PersistentVolumeClaim", "metadata",
        "name", name, "labels", "rondo.dev/run-id", maker);
    f->exec.ops->volume_create(f->exec.self, claim, on_volume, f);
    json_decref(claim);
    wait_volume(f);
    return f->code;
}

static enum err_code drop(struct fixture *f, const char *name)
{
    f->exec.ops->volume_delete(f->exec.self, name, on_volume, f);
    wait_volume(f);
    return f->code;
}

static void test_volumes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "data", "r1"), ERR_NONE);
    assert_true(temp_exists(&f->dir, "volumes/data"));
    temp_write(&f->dir, "volumes/data/sub/file", "x");
    assert_int_equal(create(f, "data", "r1"), ERR_NONE);
    assert_true(temp_exists(&f->dir, "volumes/data/sub/file"));
    assert_int_equal(create(f, "data", "r2"), ERR_EXISTS);
    assert_non_null(strstr(f->reason, "'data' exists already"));
    /* A new executor knows it as well. */
    f->exec.ops->free(f->exec.self);
    open_executor(f);
    assert_int_equal(create(f, "data", "r1"), ERR_NONE);
    assert_int_equal(create(f, "data", "r2"), ERR_EXISTS);
    assert_int_equal(drop(f, "data"), ERR_NONE);
    assert_false(temp_exists(&f->dir, "volumes/data"));
    assert_int_equal(drop(f, "data"), ERR_NOT_FOUND);
    assert_int_equal(create(f, "data", "r2"), ERR_NONE);
    assert_false(temp_exists(&f->dir, "volumes/data/sub"));
    /* A folder that somebody put there. */
    temp_write(&f->dir, "volumes/mine/file", "x");
    assert_int_equal(create(f, "mine", "r1"), ERR_EXISTS);
    assert_non_null(strstr(f->reason, "/volumes/mine is there"));
    /* A link goes, what it points to does not. */
    temp_write(&f->dir, "elsewhere/file", "x");
    assert_int_equal(
        symlink(temp_path(&f->dir, "elsewhere"), temp_path(&f->dir, "volumes/link")), 0);
    assert_int_equal(drop(f, "link"), ERR_NONE);
    assert_true(temp_exists(&f->dir, "elsewhere/file"));
}

static void test_volume_names(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"", "..", ".claims", "a/b", "../x", "-a", "a\nb", "a b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        print_message("  '%s'\n", bad[i]);
        assert_int_equal(create(f, bad[i], "r"), ERR_INVALID);
        assert_int_equal(drop(f, bad[i]), ERR_NOT_FOUND);
    }
    assert_int_equal(create(f, "a.b-c1", "r"), ERR_NONE);
}

static void test_half_made(void **state)
{
    struct fixture *f = *state;
    /* The daemon died between claim and folder. */
    assert_int_equal(create(f, "v", "r1"), ERR_NONE);
    assert_int_equal(rmdir(temp_path(&f->dir, "volumes/v")), 0);
    assert_int_equal(create(f, "v", "r2"), ERR_EXISTS);
    assert_int_equal(create(f, "v", "r1"), ERR_NONE);
    assert_true(temp_exists(&f->dir, "volumes/v"));
    /* Or after renaming it away: the claim is still there, and what is left is removed later. */
    assert_int_equal(
        rename(temp_path(&f->dir, "volumes/v"), temp_path(&f->dir, "volumes/.gone-x")), 0);
    temp_write(&f->dir, "volumes/.gone-x/file", "x");
    assert_int_equal(drop(f, "v"), ERR_NONE);
    assert_int_equal(drop(f, "v"), ERR_NOT_FOUND);
    f->exec.ops->free(f->exec.self);
    open_executor(f);
    int64_t until = clock_mono_us() + 60 * US_PER_S;
    while (temp_exists(&f->dir, "volumes/.gone-x") && clock_mono_us() < until) {
        loop_turn(f->loop, false);
        usleep(2000);
    }
    assert_false(temp_exists(&f->dir, "volumes/.gone-x"));
}

static void test_volume_cancel(void **state)
{
    struct fixture *f = *state;
    json_t *claim = j("{'metadata':{'name':'v'}}");
    f->exec.ops->volume_create(f->exec.self, claim, on_volume, f);
    f->exec.ops->volume_create(f->exec.self, claim, on_volume, f);
    f->exec.ops->volume_cancel(f->exec.self, f);
    for (int i = 0; i < 10; i++) {
        loop_turn(f->loop, false);
    }
    assert_int_equal(f->done, 0);
    /* One is under way when the executor goes. */
    f->exec.ops->volume_delete(f->exec.self, "v", on_volume, f);
    f->exec.ops->free(f->exec.self);
    open_executor(f);
    assert_int_equal(f->done, 0);
    json_decref(claim);
}

static void test_workspace(void **state)
{
    struct fixture *f = *state;
    struct attempt_name name = {RUN, TASK, 0};
    struct buf path;
    buf_init(&path, 4096);
    f->exec.ops->workspace_path(f->exec.self, &name, &path);
    CLEANUP(cleanup_free)
    char *want = xasprintf("%s/volumes/" RUN WORKSPACE_CLAIM_SUFFIX, f->dir.path);
    assert_string_equal(buf_str(&path), want);
    buf_done(&path);
    assert_int_equal(create(f, RUN WORKSPACE_CLAIM_SUFFIX, "r"), ERR_NONE);
    assert_int_equal(access(want, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_volumes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_volume_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_volume_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_workspace, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
