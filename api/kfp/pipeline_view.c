/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines and versions as KFP's JSON. */
#include "api/kfp/pipeline_view.h"

#include "base/err.h"
#include "base/json.h"

#include "api/kfp/view.h"

#define SPACE_MAX 63

static const struct kfp_field pipeline_fields[] = {
    {"pipeline_id", KFP_STRING, NULL, NULL, 0},
    {"display_name", KFP_STRING, NULL, NULL, 0},
    {"name", KFP_STRING, NULL, NULL, 0},
    {"description", KFP_STRING, NULL, NULL, 0},
    {"created_at", KFP_OUTPUT, NULL, NULL, 0},
    {"namespace", KFP_STRING, NULL, NULL, 0},
    {"error", KFP_OUTPUT, NULL, NULL, 0},
    {"tags", KFP_TAGS, NULL, NULL, 0},
    {0},
};
const struct kfp_message kfp_pipeline = {pipeline_fields};

static const struct kfp_field version_fields[] = {
    {"pipeline_id", KFP_STRING, NULL, NULL, 0},
    {"pipeline_version_id", KFP_STRING, NULL, NULL, 0},
    {"display_name", KFP_STRING, NULL, NULL, 0},
    {"name", KFP_STRING, NULL, NULL, 0},
    {"description", KFP_STRING, NULL, NULL, 0},
    {"created_at", KFP_OUTPUT, NULL, NULL, 0},
    {"package_url", KFP_MESSAGE, &kfp_url, NULL, 0},
    {"code_source_url", KFP_STRING, NULL, NULL, 0},
    {"pipeline_spec", KFP_OUTPUT, NULL, NULL, 0},
    {"error", KFP_OUTPUT, NULL, NULL, 0},
    {"tags", KFP_TAGS, NULL, NULL, 0},
    {0},
};
const struct kfp_message kfp_version = {version_fields};

static void add_common(json_t *out, const json_t *record)
{
    const char *name = jget_str(record, "name", "");
    const char *display_name = jget_str(record, "display_name", "");
    json_t *tags = json_object_get(record, "tags");
    jset_str(out, "display_name", display_name[0] != '\0' ? display_name : name);
    jset_str(out, "name", name);
    jset_str(out, "description", jget_str(record, "description", NULL));
    view_time(out, "created_at", jget_i64(record, "created_us", 0));
    if (json_object_size(tags) > 0) {
        json_object_set(out, "tags", tags);
    }
}

json_t *view_pipeline(const json_t *record)
{
    json_t *out = json_object();
    jset_str(out, "pipeline_id", jget_str(record, "id", NULL));
    jset_str(out, "namespace", jget_str(record, "namespace", NULL));
    add_common(out, record);
    return out;
}

json_t *view_version(const json_t *record, const struct plan *plan)
{
    json_t *out = json_object();
    const char *url = jget_str(record, "package_url", "");
    jset_str(out, "pipeline_id", jget_str(record, "pipeline_id", NULL));
    jset_str(out, "pipeline_version_id", jget_str(record, "id", NULL));
    add_common(out, record);
    if (url[0] != '\0') {
        json_object_set_new(out, "package_url", json_pack("{ss}", "pipeline_url", url));
    }
    jset_str(out, "code_source_url", jget_str(record, "code_source_url", NULL));
    if (plan != NULL) {
        json_object_set_new(out, "pipeline_spec", view_spec(plan));
    }
    return out;
}

int kfp_check_pipeline(const json_t *in, size_t name_max, struct err *err)
{
    if (kfp_check_length("name", jget_str(in, "name", ""), name_max, err) != 0 ||
        kfp_check_length("display_name", jget_str(in, "display_name", ""), name_max, err) != 0 ||
        kfp_check_length("namespace", jget_str(in, "namespace", ""), SPACE_MAX, err) != 0 ||
        kfp_check_tags(json_object_get(in, "tags"), err) != 0) {
        return -1;
    }
    return 0;
}

static const char *first_text(const char *a, const char *b, const char *c)
{
    return a[0] != '\0' ? a : b[0] != '\0' ? b : c;
}

const char *name_of(const json_t *in, const char *fallback)
{
    return first_text(jget_str(in, "name", ""), jget_str(in, "display_name", ""), fallback);
}

const char *display_name_of(const json_t *in, const char *fallback)
{
    return first_text(jget_str(in, "display_name", ""), jget_str(in, "name", ""), fallback);
}
