/* SPDX-License-Identifier: Apache-2.0 */
/* Records of triggers as they stand in Redis: their secrets are sealed there. */
#include <string.h>

#include "base/json.h"
#include "base/seal.h"
#include "base/util.h"
#include "webhooks/in/git_hooks.h"

static char *context_of(const json_t *record)
{
    return xasprintf("git-trigger/%s/secrets", jget_str(record, "id", ""));
}

/* With the address: whoever changes that in Redis does not get the token sent there. */
static char *token_context(const json_t *record)
{
    return xasprintf("git-trigger/%s/api/%s for %s", jget_str(record, "id", ""),
        jget_str(record, "forge", ""), jget_str(json_object_get(record, "api"), "url", ""));
}

json_t *git_record_read(const struct seal *seal, const char *text, struct err *err)
{
    json_t *record = jread_text(text, strlen(text), "trigger record", err), *one;
    CLEANUP(cleanup_free) char *context = context_of(record);
    size_t i;
    int rc = record != NULL ? seal_open_member(seal, context, record, "secret", err) : -1;
    json_array_foreach(json_object_get(record, "secrets"), i, one)
    {
        rc = rc != 0 ? rc : seal_open_member(seal, context, one, "secret", err);
    }
    json_t *api = json_object_get(record, "api");
    if (rc == 0 && api != NULL) {
        CLEANUP(cleanup_free) char *of_token = token_context(record);
        rc = seal_open_member(seal, of_token, api, "token", err);
    }
    if (rc != 0) {
        json_decref(record);
        err->code = ERR_INTERNAL; /* ours, and not that there is no such trigger */
        return NULL;
    }
    return record;
}

char *git_record_text(const struct seal *seal, const json_t *record)
{
    json_t *sealed = json_deep_copy(record), *one;
    CLEANUP(cleanup_free) char *context = context_of(record);
    size_t i;
    json_array_foreach(json_object_get(sealed, "secrets"), i, one)
    {
        seal_member(seal, context, one, "secret");
    }
    json_t *api = json_object_get(sealed, "api");
    if (api != NULL) {
        CLEANUP(cleanup_free) char *of_token = token_context(record);
        seal_member(seal, of_token, api, "token");
    }
    char *text = jtext(sealed);
    json_decref(sealed);
    return text;
}
