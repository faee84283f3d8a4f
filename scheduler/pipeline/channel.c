/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels that the SDK forgets. It passes values into groups of tasks (conditions, loops, exit
 * handlers) as inputs named pipelinechannel--X, but leaves some out: what only an elif's condition
 * reads does not reach the group of branches, nor an outer loop's item an inner loop when a text
 * holds both; and it asks the root for items of inner loops that nobody reads, and the task that
 * makes a loop's list for members of its items. What is missing is
 * unambiguous, so it is added here, and the needless is dropped; without that such pipelines could
 * not run.
 */
#include "pipeline/draft.h"

#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>

#define CHANNEL "pipelinechannel--"
#define SUBVAR "-subvar-"
#define MAX_ADDED 1000 /* channels that texts of one task hold */

/* A task whose component is the DAG in question. */
struct draft_user {
    struct draft_component *in;
    struct draft_task *task;
    struct draft_user *next;
};

/* A binding that takes the input in question. */
struct draft_reader {
    struct draft_task *task;
    struct draft_binding *binding;
    struct draft_reader *next;
};

static char yes, no, gone; /* values of maps that remember an answer */

static struct map *answers(struct draft *d, struct map **slot)
{
    if (*slot == NULL) {
        *slot = map_new(NULL);
        pool_on_free(d->pool, (void (*)(void *))map_free, *slot);
    }
    return *slot;
}

static bool has_input(const struct draft_component *c, const char *name)
{
    return component_param_in(&c->def, name) != NULL ||
           (c->extras != NULL && map_has(c->extras, name));
}

static void note_users(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct draft_component *c = d->list[i];
        for (size_t k = 0; k < c->task_count; k++) {
            struct draft_component *inner = c->tasks[k].component;
            if (inner != NULL && inner->def.kind == COMPONENT_DAG) {
                struct draft_user *user = pool_alloc(d->pool, sizeof *user);
                *user = (struct draft_user){c, &c->tasks[k], inner->users};
                inner->users = user;
            }
        }
    }
}

/* Who takes an input of the DAG; the list is made when it is first asked for. */
static struct draft_reader *readers(struct draft *d, struct draft_component *c, const char *name)
{
    if (c->readers == NULL) {
        answers(d, &c->readers);
        for (size_t i = 0; i < c->task_count; i++) {
            struct draft_task *t = &c->tasks[i];
            for (size_t k = 0; k < t->param_count; k++) {
                const char *source = t->params[k].def.source;
                if (t->params[k].def.kind == SOURCE_COMPONENT_INPUT && source != NULL) {
                    struct draft_reader *reader = pool_alloc(d->pool, sizeof *reader);
                    *reader = (struct draft_reader){t, &t->params[k], map_get(c->readers, source)};
                    map_put(c->readers, source, reader);
                }
            }
        }
    }
    return map_get(c->readers, name);
}

/* ---- adding ---- */

static struct draft_binding *add_binding(struct draft *d, struct draft_task *t, const char *name)
{
    if (t->added_count == t->added_cap) {
        t->added_cap = t->added_cap == 0 ? 4 : t->added_cap * 2;
        struct draft_binding *list = pool_calloc(d->pool, t->added_cap, sizeof *list);
        if (t->added_count > 0) {
            memcpy(list, t->added, t->added_count * sizeof *list);
        }
        t->added = list;
    }
    struct draft_binding *b = &t->added[t->added_count++];
    b->def.name = name;
    b->def.producer = -1;
    b->place = t->place;
    return b;
}

static void bind_input(struct draft *d, struct draft_task *t, const char *name, const char *source,
    const char *selector)
{
    struct draft_binding *b = add_binding(d, t, name);
    b->def.kind = SOURCE_COMPONENT_INPUT;
    b->def.source = source;
    b->def.selector = selector;
}

/* pipelinechannel--TASK-OUTPUT; of a group's oneof the output is called like the channel. */
static bool bind_sibling(struct draft *d, const struct draft_user *user, const char *name)
{
    char key[MAX_NAME_LEN + 1];
    const char *rest = name + strlen(CHANNEL);
    for (const char *dash = strchr(rest, '-'); dash != NULL; dash = strchr(dash + 1, '-')) {
        size_t len = (size_t)(dash - rest);
        if (len == 0 || len >= sizeof key) {
            continue;
        }
        memcpy(key, rest, len);
        key[len] = '\0';
        const struct draft_task *t = map_get(user->in->task_index, key);
        if (t == NULL || t == user->task || t->component == NULL) {
            continue;
        }
        const struct component *from = &t->component->def;
        const char *output = component_param_out(from, dash + 1) != NULL ? dash + 1
                             : component_param_out(from, name) != NULL   ? name
                                                                         : NULL;
        if (output != NULL) {
            struct draft_binding *b = add_binding(d, user->task, name);
            b->def.kind = SOURCE_TASK_OUTPUT;
            b->producer = t->def.key;
            b->def.key = output;
            return true;
        }
    }
    return false;
}

/* The selector for KEY in pipelinechannel--ITEM-subvar-KEY; NULL: it is no such name. */
static const char *subvar_selector(struct draft *d, const char *name)
{
    const char *at = strstr(name, SUBVAR);
    if (at == NULL || strchr(at, '"') != NULL) {
        return NULL;
    }
    const char *selector =
        pool_printf(d->pool, "parseJson(string_value)[\"%s\"]", at + strlen(SUBVAR));
    return selector_trouble(selector) == NULL ? selector : NULL;
}

/* The item, an input of the DAG, that the channel is a member of; NULL: there is none. */
static const char *item_of(
    struct draft *d, const struct draft_component *c, const char *name, const char **selector)
{
    *selector = subvar_selector(d, name);
    if (*selector == NULL) {
        return NULL;
    }
    const char *item = pool_strndup(d->pool, name, (size_t)(strstr(name, SUBVAR) - name));
    return has_input(c, item) ? item : NULL;
}

/* A member of an item that is there. */
static bool bind_subvar(struct draft *d, const struct draft_user *user, const char *name)
{
    const char *selector;
    const char *item = item_of(d, user->in, name, &selector);
    if (item != NULL) {
        bind_input(d, user->task, name, item, selector);
    }
    return item != NULL;
}

/* The same for a task of the loop itself. */
static bool take_member(struct draft *d, const struct draft_component *c, struct draft_binding *b)
{
    const char *selector;
    const char *item = b->def.selector == NULL ? item_of(d, c, b->def.source, &selector) : NULL;
    if (item != NULL) {
        b->def.source = item;
        b->def.selector = selector;
    }
    return item != NULL;
}

static bool provide(struct draft *d, struct draft_component *c, const char *name, unsigned depth);

static bool provide_by(
    struct draft *d, const struct draft_user *user, const char *name, unsigned depth)
{
    const char *plain = name + strlen(CHANNEL);
    if (has_input(user->in, name)) {
        bind_input(d, user->task, name, name, NULL);
    } else if (component_param_in(&user->in->def, plain) != NULL) {
        bind_input(d, user->task, name, plain, NULL);
    } else if (!bind_sibling(d, user, name) && !bind_subvar(d, user, name)) {
        if (!provide(d, user->in, name, depth + 1)) {
            return false;
        }
        bind_input(d, user->task, name, name, NULL);
    }
    return true;
}

/* Make an input reach the DAG wherever it is used. False: nobody knows where it would come from. */
static bool provide(struct draft *d, struct draft_component *c, const char *name, unsigned depth)
{
    if (c->is_root || c->users == NULL || depth > MAX_DAG_LEVELS || !str_starts(name, CHANNEL) ||
        (c->unknown != NULL && map_has(c->unknown, name))) {
        return false;
    }
    map_put(answers(d, &c->unknown), name, &no); /* until shown otherwise; stops circles */
    for (const struct draft_user *user = c->users; user != NULL; user = user->next) {
        if (!provide_by(d, user, name, depth)) {
            return false;
        }
    }
    map_remove(c->unknown, name);
    map_put(answers(d, &c->extras), name, c);
    return true;
}

static bool is_bound(const struct draft_task *t, const char *name)
{
    if (find_binding(t->params, t->param_count, name) != NULL) {
        return true;
    }
    for (size_t i = 0; i < t->added_count; i++) {
        if (str_eq(t->added[i].def.name, name)) {
            return true;
        }
    }
    return false;
}

bool channel_reaches(
    struct draft *d, struct draft_component *c, struct draft_task *t, const char *name)
{
    struct draft_user self = {c, t, NULL};
    return is_bound(t, name) || (t->added_count < MAX_ADDED && provide_by(d, &self, name, 0));
}

bool channel_provided(struct draft *d, struct draft_component *c, const char *name)
{
    return has_input(c, name) || provide(d, c, name, 0);
}

/* ---- dropping ---- */

/* Whether a task within the DAG reads this input, however deep. */
static bool is_read(struct draft *d, struct draft_component *c, const char *name, unsigned depth);

static bool is_read_by(
    struct draft *d, const struct draft_task *t, const struct draft_binding *b, unsigned depth)
{
    const char *name = b->def.name;
    /* an undeclared one is there for a constant that refers to it */
    return t->component == NULL || t->component->def.kind != COMPONENT_DAG ||
           component_param_in(&t->component->def, name) == NULL ||
           (t->def.condition != NULL && strstr(t->def.condition, name) != NULL) ||
           (t->iterator != NULL && str_eq(t->iterator->items, name)) ||
           is_read(d, t->component, name, depth + 1);
}

static bool is_read(struct draft *d, struct draft_component *c, const char *name, unsigned depth)
{
    const void *known = c->reads != NULL ? map_get(c->reads, name) : NULL;
    if (known != NULL || depth > MAX_DAG_LEVELS) {
        return known == NULL || known == &yes;
    }
    map_put(answers(d, &c->reads), name, &no); /* also while it is being found out */
    /* constants may refer to other inputs of their task, which are bound beside them */
    for (struct draft_reader *reader = readers(d, c, name); reader != NULL; reader = reader->next) {
        if (is_read_by(d, reader->task, reader->binding, depth)) {
            map_put(c->reads, name, &yes);
            return true;
        }
    }
    return false;
}

static void make_optional(struct draft_component *c, const char *name)
{
    struct param_def *p = (struct param_def *)(uintptr_t)component_param_in(&c->def, name);
    if (p != NULL) {
        p->is_optional = true;
    }
}

/* Nobody reads it, so whoever passes it on need not have it either. */
static void make_needless(
    struct draft *d, struct draft_component *c, const char *name, unsigned depth)
{
    if (c->def.kind != COMPONENT_DAG || depth > MAX_DAG_LEVELS ||
        (c->reads != NULL && map_get(c->reads, name) == &gone)) {
        return;
    }
    make_optional(c, name);
    map_put(answers(d, &c->reads), name, &gone);
    for (struct draft_reader *r = readers(d, c, name); r != NULL; r = r->next) {
        if (r->task->component != NULL) {
            make_needless(d, r->task->component, r->binding->def.name, depth + 1);
        }
    }
}

static void drop(struct draft_task *t, struct draft_binding *b)
{
    b->is_dropped = true;
    make_optional(t->component, b->def.name);
}

/*
 * A loop is asked to be passed a member of its own item, which does not exist before the loop.
 * Within it, what reads that channel takes the member from the item.
 */
static bool split_item(struct draft *d, const struct draft_task *t, const char *name)
{
    const char *item = t->iterator != NULL ? t->iterator->item_input : NULL;
    size_t len = item != NULL ? strlen(item) : 0;
    bool is_member =
        item != NULL && strncmp(name, item, len) == 0 && str_starts(name + len, SUBVAR);
    const char *selector = is_member ? subvar_selector(d, name) : NULL;
    if (selector == NULL) {
        return false;
    }
    for (struct draft_reader *r = readers(d, t->component, name); r != NULL; r = r->next) {
        if (r->binding->def.selector == NULL) {
            r->binding->def.source = item;
            r->binding->def.selector = selector;
        }
    }
    return true;
}

/*
 * Whether the task can do without this input: nobody within reads it, or only below the loop whose
 * item it is a member of. Then it is dropped, there and on the way.
 */
static bool do_without(
    struct draft *d, struct draft_task *t, struct draft_binding *b, unsigned depth)
{
    struct draft_component *c = t->component;
    if (!str_starts(b->def.name, CHANNEL) || c == NULL || depth > MAX_DAG_LEVELS) {
        return false;
    }
    bool is_only = c->users != NULL && c->users->next == NULL;
    if (!is_read_by(d, t, b, 0)) {
        make_needless(d, c, b->def.name, 0);
    } else if (!(is_only && split_item(d, t, b->def.name))) {
        bool is_asked =
            (t->def.condition != NULL && strstr(t->def.condition, b->def.name) != NULL) ||
            (t->iterator != NULL && str_eq(t->iterator->items, b->def.name));
        struct draft_reader *r = is_only && !is_asked ? readers(d, c, b->def.name) : NULL;
        if (r == NULL) {
            return false;
        }
        for (; r != NULL; r = r->next) {
            if (!do_without(d, r->task, r->binding, depth + 1)) {
                return false;
            }
        }
    }
    drop(t, b);
    return true;
}

/* ---- all tasks ---- */

static bool is_missing(const struct draft_component *c, const struct draft_binding *b)
{
    return b->def.kind == SOURCE_COMPONENT_INPUT && !b->is_broken && b->def.source != NULL &&
           !b->is_dropped && !has_input(c, b->def.source) &&
           component_artifact_in(&c->def, b->def.source) == NULL;
}

/* A member of an item is asked of the task that makes the list, which has no such output. */
static bool is_member_of_output(const struct draft_component *c, const struct draft_binding *b)
{
    if (b->def.kind != SOURCE_TASK_OUTPUT || b->is_broken || b->producer == NULL ||
        strstr(b->def.name, SUBVAR) == NULL) {
        return false;
    }
    const struct draft_task *from = map_get(c->task_index, b->producer);
    return from != NULL && from->component != NULL &&
           component_param_out(&from->component->def, b->def.key) == NULL;
}

static void mend_task(struct draft *d, struct draft_component *c, struct draft_task *t)
{
    for (size_t i = 0; i < t->param_count; i++) {
        struct draft_binding *b = &t->params[i];
        bool is_lost =
            is_missing(c, b) && !take_member(d, c, b) && !provide(d, c, b->def.source, 0);
        if (is_lost || is_member_of_output(c, b)) {
            do_without(d, t, b, 0);
        }
    }
}

static int by_name(const void *a, const void *b)
{
    const struct draft_binding *x = a, *y = b;
    return strcmp(x->def.name, y->def.name);
}

/* The bindings as they are now: some dropped, some added. */
static void settle(struct draft *d, struct draft_task *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->param_count; i++) {
        if (!t->params[i].is_dropped) {
            t->params[kept++] = t->params[i];
        }
    }
    t->param_count = kept;
    if (t->added_count == 0) {
        return;
    }
    size_t count = kept + t->added_count;
    struct draft_binding *list = pool_calloc(d->pool, count, sizeof *list);
    if (kept > 0) {
        memcpy(list, t->params, kept * sizeof *list);
    }
    memcpy(list + kept, t->added, t->added_count * sizeof *list);
    qsort(list, count, sizeof *list, by_name);
    t->params = list;
    t->param_count = count;
}

void mend_channels(struct draft *d)
{
    note_users(d);
    mend_texts(d);
    for (size_t i = 0; i < d->count; i++) {
        for (size_t k = 0; k < d->list[i]->task_count; k++) {
            mend_task(d, d->list[i], &d->list[i]->tasks[k]);
        }
    }
    for (size_t i = 0; i < d->count; i++) {
        for (size_t k = 0; k < d->list[i]->task_count; k++) {
            settle(d, &d->list[i]->tasks[k]);
        }
    }
}
