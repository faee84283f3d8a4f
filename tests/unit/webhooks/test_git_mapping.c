/* SPDX-License-Identifier: Apache-2.0 */
/* From a push to parameters: what is refused when a trigger is saved, and what a push gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "scheduler/plan.h"
#include "webhooks/in/git_change.h"
#include "webhooks/in/git_mapping.h"
#include "webhooks/in/git_template.h"

#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define INPUT(name, type, more) "\"" name "\":{\"parameterType\":\"" type "\"" more "}"
#define DEFAULT(value) ",\"defaultValue\":" value

static const char spec[] =
    "{\"schemaVersion\":\"2.1.0\",\"pipelineInfo\":{\"name\":\"typed\"},\"root\":{\"dag\":{"
    "\"tasks\":{"
    "\"main\":{\"taskInfo\":{\"name\":\"main\"},\"componentRef\":{\"name\":\"comp-main\"}}}},"
    "\"inputDefinitions\":{\"parameters\":{" INPUT("text", "STRING", "") "," INPUT(
        "n", "NUMBER_INTEGER", DEFAULT("1")) "," INPUT("x", "NUMBER_DOUBLE",
        DEFAULT("0.5")) "," INPUT("yes", "BOOLEAN", DEFAULT("false")) "," INPUT("list", "LIST",
        DEFAULT("[]")) "," INPUT("map", "STRUCT", DEFAULT("{}")) "," INPUT("maybe", "STRING",
        ",\"isOptional\":true") "}}},"
                                "\"components\":{\"comp-main\":{\"executorLabel\":\"exec-main\"}},"
                                "\"deploymentSpec\":{"
                                "\"executors\":{\"exec-main\":{\"container\":{\"image\":\"alpine\","
                                "\"command\":[\"true\"]}}}}}";

static struct plan *plan_of(const char *text)
{
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile(text, strlen(text), &complaints);
    if (plan == NULL) {
        fail_msg("%s", complaints.items[0].text);
    }
    complaints_done(&complaints);
    return plan;
}

static json_t *parameters_of(const char *members)
{
    CLEANUP(cleanup_free) char *text = xasprintf("{%s}", members);
    json_t *parameters = json_loads(text, 0, NULL);
    assert_non_null(parameters);
    return parameters;
}

static void test_checked_when_saved(void **state)
{
    (void)state;
    static const struct {
        const char *parameters, *says;
    } rows[] = {
        {"\"text\":\"x\"", NULL},
        {"\"text\":{\"from\":\"$commit\"}", NULL},
        {"\"text\":{\"from\":\"$files\"}", NULL},
        {"\"text\":{\"template\":\"$branch\"},\"n\":{\"from\":\"$commits\"}", NULL},
        {"\"text\":5,\"n\":\"7\",\"x\":1,\"yes\":\"true\",\"list\":[1],\"map\":{\"a\":1}", NULL},
        {"\"text\":1,\"n\":{\"from\":\"/size\"},\"x\":{\"cel\":\"1.5\"}", NULL},
        {"\"text\":1,\"list\":{\"from\":\"$files\"},\"yes\":{\"from\":\"$forced\"}", NULL},
        {"\"text\":1,\"n\":{\"from\":\"/size\",\"default\":null}", NULL},
        {"\"text\":{\"value\":\"x\"},\"map\":{\"value\":{\"from\":\"$branch\"}}", NULL},
        {"", "parameters.text: missing"},
        {"\"n\":1", "parameters.text: missing; the pipeline needs it"},
        {"\"text\":1,\"speed\":1", "parameters.speed: pipeline typed has no such input"},
        {"\"text\":1,\"speed\":1", "Its inputs: "},
        {"\"text\":1,\"n\":\"many\"", "parameters.n: 'many' cannot be made NUMBER_INTEGER"},
        {"\"text\":1,\"n\":1.5", "parameters.n"},
        {"\"text\":1,\"yes\":1", "parameters.yes"},
        {"\"text\":1,\"list\":{\"a\":1}", "parameters.list"},
        {"\"text\":1,\"map\":[1]", "parameters.map"},
        {"\"text\":1,\"n\":{\"from\":\"$branch\"}", "NUMBER_INTEGER, which $branch cannot be made"},
        {"\"text\":1,\"n\":{\"from\":\"$forced\"}", "which $forced cannot be made"},
        {"\"text\":1,\"yes\":{\"from\":\"$commits\"}", "which $commits cannot be made"},
        {"\"text\":1,\"map\":{\"from\":\"$files\"}", "which $files cannot be made"},
        {"\"text\":1,\"n\":{\"template\":\"$commits\"}", "which a template cannot be made"},
        {"\"text\":1,\"n\":{\"from\":\"/size\",\"default\":\"many\"}", "parameters.n.default"},
        /* all at once */
        {"\"speed\":1,\"n\":\"many\"", "parameters.text: missing"},
        {"\"speed\":1,\"n\":\"many\"", "parameters.n"},
    };
    struct plan *plan = plan_of(spec);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *parameters = parameters_of(rows[i].parameters);
        assert_int_equal(git_mapping_check(parameters, &err), 0);
        int rc = git_mapping_check_plan(parameters, plan, &err);
        if ((rc == 0) != (rows[i].says == NULL) ||
            (rc != 0 && strstr(err.msg, rows[i].says) == NULL)) {
            fail_msg("%s: %s", rows[i].parameters, rc == 0 ? "taken" : err.msg);
        }
        json_decref(parameters);
    }
    plan_unref(plan);
}

static void test_artifacts_cannot_come_from_a_push(void **state)
{
    (void)state;
    static const char text[] =
        "{\"schemaVersion\":\"2.1.0\",\"pipelineInfo\":{\"name\":\"p\"},\"root\":{\"dag\":{"
        "\"tasks\":{"
        "\"main\":{\"taskInfo\":{\"name\":\"main\"},\"componentRef\":{\"name\":\"comp-main\"}}}},"
        "\"inputDefinitions\":{\"artifacts\":{\"model\":{\"artifactType\":{\"schemaTitle\":"
        "\"system.Model\",\"schemaVersion\":\"0.0.1\"}}}}},\"components\":{\"comp-main\":{"
        "\"executorLabel\":\"exec-main\"}},\"deploymentSpec\":{\"executors\":{\"exec-main\":{"
        "\"container\":{\"image\":\"alpine\",\"command\":[\"true\"]}}}}}";
    struct err err = ERR_INIT;
    struct plan *plan = plan_of(text);
    assert_int_equal(git_mapping_check_plan(NULL, plan, &err), -1);
    assert_non_null(strstr(err.msg, "artifacts"));
    assert_non_null(strstr(err.msg, "model"));
    plan_unref(plan);
}

/* ---- a push ---- */

struct sample {
    struct hook_message message;
    struct git_push push;
};

static void sample_init(struct sample *s, struct pool *pool)
{
    json_t *payload = json_loads(
        "{\"size\":7,\"half\":0.5,\"whole\":2.0,\"word\":\"seven\",\"digits\":\"12\",\"no\":false,"
        "\"nothing\":null,\"head_commit\":{\"id\":\"c0\",\"a/b\":{\"m~n\":\"odd\"}},\"list\":[1,"
        "\"two\"],\"big\":9007199254740993}",
        0, NULL);
    pool_on_free(pool, (void (*)(void *))json_decref, payload);
    static const char *files[] = {"src/a.c", "docs/b"};
    *s = (struct sample){
        .message = {.forge = FORGE_GITLAB,
            .kind = HOOK_PUSH,
            .delivery = "d1",
            .event = "Push Hook",
            .repository = "acme/model",
            .push_count = 1,
            .payload = payload},
        .push = {.forge = "gitlab",
            .delivery = "d1",
            .event = "Push Hook",
            .key = "k",
            .ref = "refs/heads/main",
            .branch = "main",
            .before = "",
            .after = SHA_B,
            .commit = SHA_B,
            .repository = "acme/model",
            .url = "",
            .html_url = "",
            .compare_url = "",
            .default_branch = "",
            .actor = "ann",
            .author = {"Ann", "ann@acme.example", ""},
            .committer = {"", "", ""},
            .message = "it's $5 [[RunUUID]] {{x}} \"quoted\"\n",
            .commit_count = 3,
            .added = {files, 2},
            .files_known = GIT_FILES_COMPLETE,
            .payload = payload},
    };
    s->message.pushes = &s->push;
}

static void test_applied(void **state)
{
    (void)state;
    static const struct {
        const char *parameters, *result; /* or what the error says, after '!' */
    } rows[] = {
        {"\"text\":{\"from\":\"$branch\"}", "{\"text\":\"main\"}"},
        {"\"text\":{\"from\":\"$commit\"}", "{\"text\":\"" SHA_B "\"}"},
        {"\"text\":{\"from\":\"$author_email\"}", "{\"text\":\"ann@acme.example\"}"},
        {"\"text\":{\"from\":\"$message\"}",
            "{\"text\":\"it's $5 [[RunUUID]] {{x}} \\\"quoted\\\"\\n\"}"},
        {"\"text\":{\"from\":\"$commits\"}", "{\"text\":\"3\"}"},
        {"\"text\":{\"from\":\"$files\"}", "{\"text\":\"[\\\"src/a.c\\\",\\\"docs/b\\\"]\"}"},
        {"\"text\":1,\"list\":{\"from\":\"$files\"}",
            "{\"list\":[\"src/a.c\",\"docs/b\"],\"text\":\"1\"}"},
        {"\"text\":{\"from\":\"/head_commit/id\"}", "{\"text\":\"c0\"}"},
        {"\"text\":{\"from\":\"/head_commit/a~1b/m~0n\"}", "{\"text\":\"odd\"}"},
        {"\"text\":{\"from\":\"/list/1\"}", "{\"text\":\"two\"}"},
        {"\"text\":{\"from\":\"/size\"}", "{\"text\":\"7\"}"},
        {"\"text\":{\"from\":\"/list\"}", "{\"text\":\"[1,\\\"two\\\"]\"}"},
        {"\"text\":1,\"n\":{\"from\":\"/size\"}", "{\"n\":7,\"text\":\"1\"}"},
        {"\"text\":1,\"n\":{\"from\":\"/digits\"}", "{\"n\":12,\"text\":\"1\"}"},
        {"\"text\":1,\"n\":{\"from\":\"/big\"}", "{\"n\":9007199254740993,\"text\":\"1\"}"},
        {"\"text\":1,\"x\":{\"from\":\"/size\"}", "{\"text\":\"1\",\"x\":7}"},
        {"\"text\":1,\"yes\":{\"from\":\"/no\"}", "{\"text\":\"1\",\"yes\":false}"},
        {"\"text\":{\"from\":\"/nowhere\",\"default\":\"d\"}", "{\"text\":\"d\"}"},
        {"\"text\":{\"from\":\"/nothing\",\"default\":5}", "{\"text\":\"5\"}"},
        {"\"text\":1,\"n\":{\"from\":\"/nowhere\",\"default\":null}", "{\"text\":\"1\"}"},
        {"\"text\":{\"from\":\"$tag\",\"default\":\"none\"}", "{\"text\":\"none\"}"},
        {"\"text\":{\"template\":\"${repository}@$branch: $$5 $tag.\"}",
            "{\"text\":\"acme/model@main: $5 .\"}"},
        {"\"text\":{\"cel\":\"push.branch + '/' + payload.word\"}", "{\"text\":\"main/seven\"}"},
        {"\"text\":1,\"n\":{\"cel\":\"size(push.files.all)\"}", "{\"n\":2,\"text\":\"1\"}"},
        {"\"text\":{\"cel\":\"headers['x-a']\"}", "{\"text\":\"b\"}"},
        {"\"text\":{\"cel\":\"payload.nowhere\",\"default\":\"d\"}", "{\"text\":\"d\"}"},
        {"\"text\":{\"value\":{\"from\":\"$branch\"}}",
            "{\"text\":\"{\\\"from\\\":\\\"$branch\\\"}\"}"},
        {"\"text\":{\"from\":\"/nowhere\"}", "!parameters.text: the push has nothing at /nowhere"},
        {"\"text\":{\"from\":\"/list/7\"}", "!nothing at /list/7"},
        {"\"text\":{\"from\":\"/list/x\"}", "!nothing at"},
        {"\"text\":{\"from\":\"/nothing\"}", "!nothing at"},
        {"\"text\":{\"from\":\"$tag\"}", "!nothing at $tag"},
        {"\"text\":1,\"n\":{\"from\":\"/word\"}", "!parameters.n: 'seven' cannot be made"},
        {"\"text\":1,\"n\":{\"from\":\"/half\"}", "!parameters.n"},
        {"\"text\":1,\"yes\":{\"from\":\"/size\"}", "!parameters.yes"},
        {"\"text\":1,\"map\":{\"from\":\"/list\"}", "!parameters.map"},
        {"\"text\":{\"cel\":\"payload.nowhere\"}", "!parameters.text.cel: column"},
        {"\"n\":1", "!text"},
        {"\"text\":1,\"speed\":1", "!parameters.speed"},
    };
    struct plan *plan = plan_of(spec);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct sample s;
        struct git_changes changes;
        struct err err = ERR_INIT;
        sample_init(&s, pool);
        git_changes_of(pool, &s.message, &changes);
        json_t *headers = json_pack("{s:s}", "x-a", "b");
        json_t *parameters = parameters_of(rows[i].parameters);
        json_t *made = git_mapping_apply(parameters, &changes.items[0], headers, plan, &err);
        CLEANUP(cleanup_free) char *text = made != NULL ? jtext(made) : NULL;
        bool is_error = rows[i].result[0] == '!';
        if (is_error ? made != NULL || strstr(err.msg, rows[i].result + 1) == NULL
                     : !str_eq(text, rows[i].result)) {
            fail_msg("%s: %s", rows[i].parameters, text != NULL ? text : err.msg);
        }
        assert_true(made != NULL || err.code == ERR_INVALID);
        json_decref(made);
        json_decref(parameters);
        json_decref(headers);
    }
    plan_unref(plan);
}

static void test_every_variable_has_a_place(void **state)
{
    (void)state;
    CLEANUP(cleanup_free) char *names = xstrdup(git_variables());
    char *rest = names, *name;
    int count = 0;
    while ((name = strsep(&rest, " ")) != NULL) {
        struct err err = ERR_INIT;
        assert_int_equal(git_template_check(name, "t", &err), 0);
        count++;
    }
    assert_int_equal(count, 28);
    static const char *const bad[] = {
        "$", "$Branch", "${branch", "${}", "$nothing", "x$", "$branche"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        if (git_template_check(bad[i], "t", &err) == 0) {
            fail_msg("%s", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked_when_saved),
        cmocka_unit_test(test_artifacts_cannot_come_from_a_push),
        cmocka_unit_test(test_applied),
        cmocka_unit_test(test_every_variable_has_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
