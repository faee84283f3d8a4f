/* SPDX-License-Identifier: Apache-2.0 */
/* Events about deliveries and subscriptions. */
#include "webhooks/out/news.h"

#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/post.h"

static bool is_news(const char *type)
{
    return str_starts(type, "delivery.") || str_starts(type, "subscription.");
}

static void write(struct outbox *o, const struct id *id, const char *type, json_t *data)
{
    json_t *event = json_pack("{s:s,s:s,s:I,s:o}", "id", id->text, "type", type, "time_us",
        (json_int_t)clock_now_us(), "data", data);
    CLEANUP(cleanup_free) char *text = jtext(event);
    json_decref(event);
    outbox_add_news(o, text);
}

static json_t *about(const struct subscription *sub)
{
    return json_pack("{s:s,s:s,s:s}", "subscription_id", sub->id, "host", sub->host,
        "subscription_name", sub->name != NULL ? sub->name : "");
}

/* Of something that happens to a subscription: told in the shard whose result brought it about, and
 * under the same name each time. */
static void name_of(const struct outbox *o, const struct subscription *sub, const char *what,
    int64_t number, struct id *out)
{
    char parent[ID_LEN + 1], name[64];
    snprintf(parent, sizeof parent, "%02x%s", o->shard, sub->id + 2);
    snprintf(name, sizeof name, "%s/%lld", what, (long long)number);
    id_derive(out, parent, name);
}

void news_exhausted(const struct post *post)
{
    struct sender *s = post->outbox->sender;
    const struct subscription *sub = map_get(s->subscriptions, post->channel->id);
    bool is_ping = strcmp(post->type, SUBSCRIPTION_PING) == 0; /* who sent it has been told */
    if (sub == NULL || is_ping || is_news(post->type)) {
        return;
    }
    struct id id;
    char name[64];
    snprintf(name, sizeof name, "exhausted/%lld", (long long)post->made + 1);
    id_derive(&id, post->delivery, name);
    json_t *data = about(sub);
    jset_str(data, "delivery_id", post->delivery);
    jset_str(data, "event_id", post->event);
    jset_str(data, "event_type", post->type);
    jset_str(data, "run_id", post->run);
    jset_str(data, "error", post->error);
    json_object_set_new(data, "attempts", json_integer(post->made + 1));
    json_object_set_new(data, "status", json_integer(post->status));
    write(post->outbox, &id, "delivery.exhausted", data);
}

void news_disabled(struct outbox *o, const struct subscription *sub, const char *why)
{
    struct id id;
    name_of(o, sub, "disabled", sub->rev, &id);
    json_t *data = about(sub);
    jset_str(data, "reason", why);
    write(o, &id, "subscription.disabled", data);
}

void news_recovered(struct outbox *o, const struct subscription *sub, int64_t since_us)
{
    struct id id;
    name_of(o, sub, "recovered", since_us, &id);
    write(o, &id, "subscription.recovered", about(sub));
}

bool news_concerns_other(const struct subscription *sub, const json_t *event)
{
    return !is_news(jget_str(event, "type", "")) ||
           !str_eq(jget_str(json_object_get(event, "data"), "subscription_id", NULL), sub->id);
}
