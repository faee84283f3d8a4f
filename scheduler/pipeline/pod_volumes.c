/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes and where they are mounted. KFP names a volume after what is in it (the secret, the
 * claim), which is no valid name when that is long or has dots, and clashes when two are called
 * the same. Here the name is kept where it can be, and made from a hash where it cannot.
 */
#include "pipeline/pod_config.h"

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"

#include <stdlib.h>
#include <string.h>

#define SHM_NAME "shm"
#define SHM_PATH "/dev/shm"
#define MAX_MOUNT_PATH 1024
#define NAME_HASH_LEN 8

static const char *const secret_fields[] = {
    "secretName", "secretNameParameter", "mountPath", "optional", NULL};
static const char *const config_map_fields[] = {
    "configMapName", "configMapNameParameter", "mountPath", "optional", NULL};
static const char *const claim_fields[] = {"taskOutputParameter", "constant",
    "componentInputParameter", "pvcNameParameter", "mountPath", "subPath", NULL};
static const char *const ephemeral_fields[] = {"volumeName", "mountPath", "accessModes", "size",
    "defaultStorageClass", "storageClassName", "metadata", NULL};
static const char *const metadata_fields[] = {"labels", "annotations", NULL};
static const char *const empty_dir_fields[] = {
    "volumeName", "mountPath", "medium", "sizeLimit", NULL};
static const char *const memory_fields[] = {"volumeName", "size", NULL};
static const char *const access_modes[] = {
    "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod", NULL};
static const char *const media[] = {"Memory", "HugePages", NULL};

/* ---- paths ---- */

static bool has_dots(const char *path)
{
    for (const char *p = path; (p = strstr(p, "..")) != NULL; p += 2) {
        if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool is_at_or_under(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Slashes at the end and doubled ones mean nothing. */
static const char *tidy_path(struct draft *d, const char *text)
{
    char *out = pool_printf(d->pool, "/%s", text);
    size_t n = 0;
    for (const char *p = out; *p != '\0'; p++) {
        if (*p != '/' || n == 0 || out[n - 1] != '/') {
            out[n++] = *p;
        }
    }
    while (n > 1 && out[n - 1] == '/') {
        n--;
    }
    out[n] = '\0';
    return out;
}

const char *pod_mount_path(
    struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    const char *text =
        read_need_text(d, map, name, up, "it is the folder where the volume appears");
    if (text == NULL) {
        return NULL;
    }
    struct path here = {.up = up, .key = name};
    struct place place = tree_place(tree_get(map, name));
    const char *path = tidy_path(d, text);
    if (strlen(path) > MAX_MOUNT_PATH || strchr(path, ':') != NULL || has_dots(path)) {
        complain(d->complaints, place, &here,
            "expected a folder of at most %d characters, without ':' and '..'", MAX_MOUNT_PATH);
        return NULL;
    }
    if (path[1] == '\0' || is_at_or_under(path, "/rondo") ||
        is_at_or_under(path, "/kfp-workspace")) {
        complain(d->complaints, place, &here, "'%.200s' %s; mount it elsewhere", path,
            path[1] == '\0'                  ? "is the root of the container's files"
            : is_at_or_under(path, "/rondo") ? "is where rondo's launcher is"
                                             : "is the workspace of the run");
        return NULL;
    }
    if (text[0] != '/') {
        complain_mildly(d->complaints, place, &here,
            "is not absolute; '%.200s' is taken, as Kubernetes does", path);
    }
    return path;
}

/* ---- reading ---- */

static struct pod_volume *add_volume(struct draft *d, struct pod_config *config,
    enum pod_volume_kind kind, const struct tree *item, const struct path *path)
{
    struct pod_volume *out = &config->volumes[config->volume_count++];
    *out = (struct pod_volume){.kind = kind, .where = pod_where(d, path, tree_place(item))};
    return out;
}

/* "mountPath" of all kinds that have one. */
static void read_mount(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_volume *out)
{
    out->mount_path = pod_mount_path(d, item, "mountPath", path);
}

static void read_secret(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_config *config)
{
    struct pod_volume *out = add_volume(d, config, POD_VOLUME_SECRET, item, path);
    read_known(d, item, path, secret_fields);
    pod_value_read_name(
        d, config, item, "secretNameParameter", "secretName", "secret", path, &out->object);
    out->is_optional = pod_flag(d, item, "optional", path, &out->has_optional);
    read_mount(d, item, path, out);
}

static void read_config_map(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_config *config)
{
    struct pod_volume *out = add_volume(d, config, POD_VOLUME_CONFIG_MAP, item, path);
    read_known(d, item, path, config_map_fields);
    pod_value_read_name(d, config, item, "configMapNameParameter", "configMapName", "config map",
        path, &out->object);
    out->is_optional = pod_flag(d, item, "optional", path, &out->has_optional);
    read_mount(d, item, path, out);
}

/* The older spellings of a claim's name, which the SDK writes beside the newer one. */
static void read_claim_name(struct draft *d, struct pod_config *config, const struct tree *item,
    const struct path *path, struct pod_value *out)
{
    bool has_older = !tree_is_null(tree_get(item, "taskOutputParameter")) ||
                     !tree_is_null(tree_get(item, "componentInputParameter"));
    if (tree_is_null(tree_get(item, "pvcNameParameter")) && has_older) {
        pod_value_read_source(d, config, item, path, out);
        return;
    }
    pod_value_read_name(
        d, config, item, "pvcNameParameter", "constant", "persistent volume claim", path, out);
}

static void read_claim(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_config *config)
{
    struct pod_volume *out = add_volume(d, config, POD_VOLUME_CLAIM, item, path);
    read_known(d, item, path, claim_fields);
    read_claim_name(d, config, item, path, &out->object);
    read_mount(d, item, path, out);
    out->sub_path = read_text(d, item, "subPath", path);
    if (out->sub_path != NULL && (out->sub_path[0] == '/' || has_dots(out->sub_path))) {
        struct path here = {.up = path, .key = "subPath"};
        complain(d->complaints, tree_place(tree_get(item, "subPath")), &here,
            "expected a folder within the volume: relative, without '..'");
    }
}

/* Volumes that a task names itself. */
static void read_volume_name(struct draft *d, const struct tree *item, const struct path *path,
    const char *fallback, struct pod_volume *out)
{
    struct path here = {.up = path, .key = "volumeName"};
    out->name = read_text(d, item, "volumeName", path);
    if ((out->name == NULL || out->name[0] == '\0') && fallback != NULL) {
        out->name = fallback;
        return;
    }
    if (out->name == NULL || !dns_label_is_valid(out->name)) {
        complain(d->complaints, tree_place(item), &here,
            "expected the name of a volume: a-z, 0-9 and '-', at most %d", DNS_LABEL_MAX);
        out->name = NULL;
    } else if (str_starts(out->name, "rondo-") || strcmp(out->name, "kfp-workspace") == 0 ||
               strcmp(out->name, "kfp-launcher") == 0) {
        complain(d->complaints, tree_place(item), &here,
            "'%s' is reserved: rondo-*, kfp-launcher and kfp-workspace are made by rondo",
            out->name);
    }
}

static void check_in(struct draft *d, const char *text, const char *const *allowed,
    struct place place, const struct path *path, const char *rule)
{
    for (; *allowed != NULL; allowed++) {
        if (strcmp(text, *allowed) == 0) {
            return;
        }
    }
    complain(d->complaints, place, path, "'%.200s' is not known: %s", text, rule);
}

static json_t *read_access_modes(struct draft *d, const struct tree *item, const struct path *path)
{
    json_t *modes = pod_text_list(d, item, "accessModes", path);
    struct path here = {.up = path, .key = "accessModes"};
    if (modes == NULL) {
        complain(d->complaints, tree_place(item), &here,
            "is missing or empty; ReadWriteOnce is the usual one");
        return json_array();
    }
    size_t i;
    json_t *mode;
    json_array_foreach(modes, i, mode)
    {
        check_in(d, json_string_value(mode), access_modes,
            tree_place(tree_get(item, "accessModes")), &here,
            "ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod");
    }
    return modes;
}

static void read_ephemeral(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_config *config)
{
    struct pod_volume *out = add_volume(d, config, POD_VOLUME_EPHEMERAL, item, path);
    read_known(d, item, path, ephemeral_fields);
    read_volume_name(d, item, path, NULL, out);
    read_mount(d, item, path, out);
    json_t *spec = json_pack("{s:o}", "accessModes", read_access_modes(d, item, path));
    const char *size = pod_quantity(d, item, "size", path);
    if (size != NULL) {
        json_object_set_new(spec, "resources", json_pack("{s:{s:s}}", "requests", "storage", size));
    } else {
        struct path here = {.up = path, .key = "size"};
        complain(d->complaints, tree_place(item), &here, "is missing or no size such as '5Gi'");
    }
    const char *storage = read_text(d, item, "storageClassName", path);
    if (!read_bool(d, item, "defaultStorageClass", path)) {
        json_object_set_new(spec, "storageClassName", json_string(storage != NULL ? storage : ""));
    }
    json_t *template = json_object();
    const struct tree *metadata = read_map(d, item, "metadata", path);
    if (metadata != NULL) {
        struct path here = {.up = path, .key = "metadata"};
        read_known(d, metadata, &here, metadata_fields);
        json_t *labels = pod_text_map(d, metadata, "labels", &here);
        json_t *annotations = pod_text_map(d, metadata, "annotations", &here);
        json_t *all = json_object();
        if (labels != NULL) {
            json_object_set_new(all, "labels", labels);
        }
        if (annotations != NULL) {
            json_object_set_new(all, "annotations", annotations);
        }
        json_object_set_new(template, "metadata", all);
    }
    json_object_set_new(template, "spec", spec);
    out->source = pod_keep(d, json_pack("{s:{s:o}}", "ephemeral", "volumeClaimTemplate", template));
}

static void read_empty_dir(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_config *config)
{
    struct pod_volume *out = add_volume(d, config, POD_VOLUME_EMPTY_DIR, item, path);
    read_known(d, item, path, empty_dir_fields);
    read_volume_name(d, item, path, NULL, out);
    read_mount(d, item, path, out);
    json_t *dir = json_object();
    const char *medium = pod_copy_text(d, item, "medium", path, dir);
    if (medium != NULL && !str_starts(medium, "HugePages-")) {
        struct path here = {.up = path, .key = "medium"};
        check_in(d, medium, media, tree_place(tree_get(item, "medium")), &here,
            "Memory or HugePages, or nothing for the node's disk");
    }
    const char *limit = pod_quantity(d, item, "sizeLimit", path);
    if (limit != NULL) {
        json_object_set_new(dir, "sizeLimit", json_string(limit));
    }
    out->source = pod_keep(d, json_pack("{s:o}", "emptyDir", dir));
}

/* In memory, at /dev/shm: the 64 MiB that containers get are too few for some loaders. */
static void read_shared_memory(
    struct draft *d, const struct tree *map, const struct path *up, struct pod_config *config)
{
    const struct tree *item = read_map(d, map, "enabledSharedMemory", up);
    struct path path = {.up = up, .key = "enabledSharedMemory"};
    if (item == NULL) {
        return;
    }
    struct pod_volume *out = add_volume(d, config, POD_VOLUME_EMPTY_DIR, item, &path);
    read_known(d, item, &path, memory_fields);
    read_volume_name(d, item, &path, SHM_NAME, out);
    out->mount_path = SHM_PATH;
    json_t *dir = json_pack("{s:s}", "medium", "Memory");
    const char *size = pod_quantity(d, item, "size", &path);
    if (size != NULL) {
        json_object_set_new(dir, "sizeLimit", json_string(size));
    }
    out->source = pod_keep(d, json_pack("{s:o}", "emptyDir", dir));
}

/* The same name for two different volumes, or for one of them twice with other settings. */
static void check_names(struct draft *d, const struct pod_config *config, const struct path *path)
{
    for (size_t i = 0; i < config->volume_count; i++) {
        const struct pod_volume *one = &config->volumes[i];
        for (size_t k = 0; one->name != NULL && k < i; k++) {
            const struct pod_volume *other = &config->volumes[k];
            if (other->name == NULL || strcmp(one->name, other->name) != 0 ||
                json_equal(one->source, other->source)) {
                continue;
            }
            complain(d->complaints, (struct place){0, 0}, path,
                "%s and %s describe a volume '%s' differently; give them two names", other->where,
                one->where, one->name);
        }
    }
}

typedef void read_volume_fn(
    struct draft *d, const struct tree *item, const struct path *path, struct pod_config *config);

void pod_volumes_read(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    static const struct {
        const char *name;
        read_volume_fn *read;
    } lists[] = {
        {"pvcMount", read_claim},
        {"secretAsVolume", read_secret},
        {"configMapAsVolume", read_config_map},
        {"genericEphemeralVolume", read_ephemeral},
        {"emptyDirMounts", read_empty_dir},
    };
    size_t most = 1;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct tree *list = tree_get(map, lists[i].name);
        most += list != NULL && list->kind == TREE_LIST ? list->count : 0;
    }
    config->volumes = pool_calloc(d->pool, most, sizeof *config->volumes);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct tree *list = pod_list(d, map, lists[i].name, path);
        struct path here = {.up = path, .key = lists[i].name};
        for (size_t k = 0; list != NULL && k < list->count; k++) {
            struct path inner = {.up = &here, .index = k};
            const struct tree *item = pod_item(d, list, &inner);
            if (item != NULL) {
                lists[i].read(d, item, &inner, config);
            }
        }
    }
    read_shared_memory(d, map, path, config);
    check_names(d, config, path);
}

/* ---- resolving ---- */

static bool name_is_taken(const json_t *volumes, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach(volumes, i, one)
    {
        if (str_eq(jget_str(one, "name", NULL), name)) {
            return true;
        }
    }
    return false;
}

/* The object's own name if a volume can be called so, else one that follows from it. malloc'd. */
static char *volume_name(const json_t *volumes, const char *object, const char *source)
{
    bool is_reserved = str_starts(object, "rondo-") || str_starts(object, "kfp-");
    if (dns_label_is_valid(object) && !is_reserved && !name_is_taken(volumes, object)) {
        return xstrdup(object);
    }
    char hash[SHA256_HEX_LEN + 1], readable[DNS_LABEL_MAX + 1];
    sha256_hex(source, strlen(source), hash);
    size_t n = 0;
    for (const char *p = object; *p != '\0' && n < 40; p++) {
        readable[n++] = *p == '.' ? '-' : *p;
    }
    readable[n] = '\0';
    return xasprintf("vol-%s-%.*s", readable, NAME_HASH_LEN, hash);
}

/* {"secret": {...}} and so on for the object of this name. */
static json_t *object_source(const struct pod_volume *volume, const char *name)
{
    if (volume->kind == POD_VOLUME_CLAIM) {
        return json_pack("{s:{s:s}}", "persistentVolumeClaim", "claimName", name);
    }
    bool is_secret = volume->kind == POD_VOLUME_SECRET;
    json_t *source = json_pack("{s:s}", is_secret ? "secretName" : "name", name);
    if (volume->has_optional) {
        json_object_set_new(source, "optional", json_boolean(volume->is_optional));
    }
    return json_pack("{s:o}", is_secret ? "secret" : "configMap", source);
}

/* A volume with this source that is in the parts already; its name or NULL. */
static const char *find_source(const json_t *volumes, const json_t *source)
{
    size_t i;
    json_t *one;
    json_array_foreach(volumes, i, one)
    {
        json_t *copy = json_copy(one);
        json_object_del(copy, "name");
        bool is_same = json_equal(copy, source);
        json_decref(copy);
        if (is_same) {
            return jget_str(one, "name", NULL);
        }
    }
    return NULL;
}

/* The volume's name in the pod, added if it is not there yet; malloc'd. Takes source. */
static char *add_source(
    const struct pod_volume *volume, const char *called, json_t *source, struct pod_resolving *r)
{
    json_t *volumes = json_object_get(r->parts, "volumes");
    char *name = NULL;
    if (volume->name != NULL) {
        name = xstrdup(volume->name);
    } else {
        const char *known = find_source(volumes, source);
        char *text CLEANUP(cleanup_free) = jtext(source);
        name = known != NULL ? xstrdup(known) : volume_name(volumes, called, text);
    }
    if (name_is_taken(volumes, name)) {
        json_decref(source);
    } else {
        json_object_set_new(source, "name", json_string(name));
        pod_parts_add(r, "volumes", source);
    }
    return name;
}

static int add_mount(const struct pod_volume *volume, const char *name, struct pod_resolving *r)
{
    json_t *mount CLEANUP(json_decrefp) =
        json_pack("{s:s,s:s}", "name", name, "mountPath", volume->mount_path);
    jset_str(mount, "subPath", volume->sub_path);
    size_t i;
    json_t *other;
    json_array_foreach(json_object_get(r->parts, "volumeMounts"), i, other)
    {
        if (json_equal(other, mount)) {
            return 0;
        }
        if (str_eq(jget_str(other, "mountPath", NULL), volume->mount_path)) {
            return err_set(r->err, ERR_INVALID,
                "%s: something else is mounted at '%s' already; one folder takes one volume",
                volume->where, volume->mount_path);
        }
    }
    pod_parts_add(r, "volumeMounts", json_incref(mount));
    return 0;
}

static int resolve_volume(const struct pod_volume *volume, struct pod_resolving *r, json_t *names)
{
    char *object CLEANUP(cleanup_free) = NULL;
    const char *called = volume->name;
    if (called == NULL) {
        if (pod_value_resolve_name(&volume->object, r, &object) != 0) {
            return -1;
        }
        if (object == NULL && volume->kind == POD_VOLUME_CLAIM) {
            return err_set(r->err, ERR_INVALID,
                "%s: the persistent volume claim's name has no value", volume->where);
        }
        if (object == NULL) {
            return 0;
        }
        called = object;
    }
    json_t *source =
        volume->source != NULL ? json_deep_copy(volume->source) : object_source(volume, object);
    char *name CLEANUP(cleanup_free) = add_source(volume, called, source, r);
    if (json_object_get(names, called) == NULL) {
        json_object_set_new(names, called, json_string(name));
    }
    return add_mount(volume, name, r);
}

/* Names that the task chose come first, so that none made here takes one of them. */
int pod_volumes_resolve(
    const struct pod_config *config, struct pod_resolving *r, json_t **names_out)
{
    json_t *names CLEANUP(json_decrefp) = json_object();
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < config->volume_count; i++) {
            const struct pod_volume *volume = &config->volumes[i];
            if ((volume->name != NULL) == (pass == 0) && resolve_volume(volume, r, names) != 0) {
                return -1;
            }
        }
    }
    *names_out = STEAL(names);
    return 0;
}
