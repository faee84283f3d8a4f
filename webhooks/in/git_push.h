/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the forges tell, made alike: one incoming message, and the pushes (one per ref), the pull
 * request or the release in it. Values only; forge.h reads and verifies. Everything lives in the
 * request's pool. Texts are never NULL unless said so here; "" is "not told".
 */
#ifndef WEBHOOKS_GIT_PUSH_H
#define WEBHOOKS_GIT_PUSH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;

/* Who speaks: a forge, or one of the general ways to send a message. */
enum forge {
    FORGE_AUTO, /* by the headers (forge_detect) */
    FORGE_GITHUB,
    FORGE_GITLAB,
    FORGE_GITEA,
    FORGE_FORGEJO,
    FORGE_GOGS,
    FORGE_BITBUCKET,
    FORGE_BITBUCKET_SERVER,
    FORGE_AZURE_DEVOPS,
    FORGE_STANDARD_WEBHOOKS,
    FORGE_HMAC,
    FORGE_BEARER,
    FORGE_BASIC,
    FORGE_CLOUDEVENTS,
    FORGE_COUNT,
};

/* How much of what changed the lists of files say. */
enum git_files_known {
    GIT_FILES_UNKNOWN,  /* nothing: ask the forge, or go by a policy */
    GIT_FILES_PARTIAL,  /* these, and perhaps more */
    GIT_FILES_COMPLETE, /* these and no others, by the forge's rules */
};

struct git_files {
    const char **items;
    size_t count;
};

struct git_person {
    const char *name, *email, *username;
};

/* One ref that was created, moved or deleted. */
struct git_push {
    const char *forge;    /* "github" */
    const char *delivery; /* the forge's id of the message; "<delivery>#2" for its second ref */
    const char *event;    /* as the forge names it: "push", "repo:refs_changed" */
    /*
     * The same for every message that tells of this very change, whichever hook or event sent it:
     * repository, ref, before and after, hashed. 64 hex digits.
     */
    const char *key;
    const char *ref;          /* "refs/heads/main" */
    const char *branch, *tag; /* one of them, or NULL; both NULL for other refs */
    const char *before, *after; /* object ids as told; all zeros for "was not", "is no more" */
    const char *commit;     /* after, or what an annotated tag points to where the forge says it */
    const char *repository; /* "owner/name", "group/subgroup/name" */
    const char *url;        /* to clone over HTTP */
    const char *html_url;   /* of the repository */
    const char *compare_url;
    const char *default_branch;
    const char *actor; /* who pushed: user name where there is one */
    struct git_person author, committer; /* of the head commit */
    const char *message;   /* of the head commit */
    const char **messages; /* of every commit told, in the forge's order */
    size_t message_count;
    int64_t commit_count; /* pushed; -1: not told */
    struct git_files added, modified, removed; /* net, over the commits told */
    enum git_files_known files_known;
    bool is_created, is_deleted;
    bool is_forced, is_forced_known; /* most forges do not tell */
    json_t *payload;                 /* the whole message; freed with the pool */
};

/* A pull request, or merge request. */
struct git_pull_request {
    int64_t number;
    /* opened updated closed merged reopened edited, or the forge's own word in lower case */
    const char *action;
    const char *title, *url, *author;
    const char *source_branch, *target_branch;
    const char *source_repository; /* of a fork another one than the message's */
    const char *head, *base;       /* commits */
    bool is_merged, is_draft, is_fork;
};

struct git_release {
    const char *action; /* published updated deleted, or the forge's own word in lower case */
    const char *tag, *name, *target, *url;
    bool is_draft, is_prerelease;
};

enum hook_kind {
    HOOK_PING,         /* the forge tries the connection */
    HOOK_PUSH,         /* pushes: one or more */
    HOOK_PULL_REQUEST, /* pull_request is set */
    HOOK_RELEASE,      /* release is set */
    HOOK_GENERIC,      /* a message of no forge: the payload is all there is */
    HOOK_OTHER,        /* genuine, and nothing that starts runs; why says what it is */
};

/* How a message was found genuine. */
struct hook_verified {
    const char *by; /* the header that was checked, or "nothing" for an insecure source */
    int secret;     /* which secret of the source: 0 the first; -1 none */
};

/* One incoming message. */
struct hook_message {
    enum forge forge;
    enum hook_kind kind;
    const char *delivery;
    const char *event; /* as the forge names it */
    const char *why;   /* of HOOK_PING and HOOK_OTHER: one sentence */
    struct hook_verified verified;
    const char *repository, *url, *html_url, *default_branch, *actor;
    struct git_push *pushes;
    size_t push_count;
    size_t refs_dropped; /* past the first HOOK_REFS_MAX */
    struct git_pull_request *pull_request;
    struct git_release *release;
    json_t *payload; /* freed with the pool */
    bool is_polled;  /* nobody sent it: a look at the refs found it (git_poll.h) */
    int64_t since_us; /* then: when they were looked at before */
};

#define HOOK_REFS_MAX 100

/* git_push.key: of what a push, a poll of the refs or a redelivery all tell. In the pool. */
const char *git_push_key(struct pool *pool, const char *repository, const char *ref,
    const char *before, const char *after);

#endif
