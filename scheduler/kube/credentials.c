/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are towards the cluster: kubeconfig files (clientcmd.k8s.io v1) and the service account
 * that a pod is given.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "kube/kube.h"

#define CONFIG_MAX (4 * 1024 * 1024)
#define DEPTH_MAX 32
#define NODES_MAX 100000
#define ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

void kube_credentials_done(struct kube_credentials *c)
{
    if (c->token != NULL) {
        explicit_bzero(c->token, strlen(c->token));
    }
    free(c->server);
    free(c->ca_file);
    free(c->cert_file);
    free(c->key_file);
    free(c->token);
    free(c->token_file);
    free(c->namespace_);
    memset(c, 0, sizeof *c);
}

/* ---- YAML, every scalar as text ---- */

static json_t *node_json(yaml_document_t *doc, yaml_node_t *node, int depth, int *budget)
{
    if (node == NULL || depth > DEPTH_MAX || --*budget < 0) {
        return NULL;
    }
    json_t *out = NULL;
    if (node->type == YAML_SCALAR_NODE) {
        out = json_stringn((const char *)node->data.scalar.value, node->data.scalar.length);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        out = json_array();
        for (yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top; i++) {
            json_t *item = node_json(doc, yaml_document_get_node(doc, *i), depth + 1, budget);
            if (json_array_append_new(out, item) != 0) {
                json_decref(out);
                return NULL;
            }
        }
    } else if (node->type == YAML_MAPPING_NODE) {
        out = json_object();
        for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
             p++) {
            yaml_node_t *key = yaml_document_get_node(doc, p->key);
            json_t *value =
                node_json(doc, yaml_document_get_node(doc, p->value), depth + 1, budget);
            if (key == NULL || key->type != YAML_SCALAR_NODE) {
                json_decref(value);
                value = NULL;
            }
            /* Takes the value, or fails when there is none. */
            if (value == NULL ||
                json_object_set_new(out, (const char *)key->data.scalar.value, value) != 0) {
                json_decref(out);
                return NULL;
            }
        }
    }
    return out;
}

static json_t *config_json(const char *text, size_t len, struct err *err)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    int budget = NODES_MAX;
    if (yaml_parser_initialize(&parser) == 0) {
        abort();
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    json_t *out = NULL;
    if (yaml_parser_load(&parser, &doc) == 0) {
        err_set(err, ERR_INVALID, "kubeconfig: line %zu: %s", parser.problem_mark.line + 1,
            parser.problem != NULL ? parser.problem : "not YAML");
    } else {
        out = node_json(&doc, yaml_document_get_root_node(&doc), 0, &budget);
        if (!json_is_object(out)) {
            err_set(err, ERR_INVALID, "kubeconfig: expected a mapping with clusters and contexts");
            json_decref(out);
            out = NULL;
        }
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    return out;
}

/* config.<list>[name == name].<member> */
static const json_t *named(
    const json_t *config, const char *list, const char *name, const char *part)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(config, list), i, item)
    {
        if (str_eq(jget_str(item, "name", NULL), name)) {
            return json_object_get(item, part);
        }
    }
    return NULL;
}

/* ---- members ---- */

/* `<key>-data` (base64, written to dir/<name>) or `<key>` (a file name, relative to base). */
static int file_member(const json_t *from, const char *key, const char *base, const char *dir,
    const char *name, char **out, struct err *err)
{
    CLEANUP(cleanup_free) char *data_key = xasprintf("%s-data", key);
    const char *data = jget_str(from, data_key, NULL), *path = jget_str(from, key, NULL);
    if (data != NULL && data[0] != '\0') {
        size_t len = 0;
        CLEANUP(cleanup_free) unsigned char *bytes = base64_decode(data, strlen(data), &len);
        if (bytes == NULL) {
            return err_set(err, ERR_INVALID, "kubeconfig: %s is not base64", data_key);
        }
        *out = xasprintf("%s/%s", dir, name);
        return dir_make(dir, 0700, err) != 0 || file_write_atomic(*out, bytes, len, 0600, err) != 0
                   ? err_wrap(err, "kubeconfig: %s", data_key)
                   : 0;
    }
    if (path != NULL && path[0] != '\0') {
        *out = path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", base, path);
    }
    return 0;
}

static int read_user(struct kube_credentials *c, const json_t *user, const char *base,
    const char *dir, struct err *err)
{
    static const char *const unbuilt[] = {"exec", "auth-provider", "username", "as"};
    for (size_t i = 0; i < ARRAY_LEN(unbuilt); i++) {
        if (json_object_get(user, unbuilt[i]) != NULL) {
            return err_set(err, ERR_INVALID,
                "kubeconfig: users with '%s' are not supported; use a client certificate, a token "
                "or tokenFile (kubectl create token ...)",
                unbuilt[i]);
        }
    }
    const char *token = jget_str(user, "token", NULL), *file = jget_str(user, "tokenFile", NULL);
    if (file != NULL) {
        c->token_file = file[0] == '/' ? xstrdup(file) : xasprintf("%s/%s", base, file);
    } else if (token != NULL) {
        c->token = xstrdup(token);
    }
    return file_member(user, "client-certificate", base, dir, "client.pem", &c->cert_file, err) !=
                       0 ||
                   file_member(user, "client-key", base, dir, "client.key", &c->key_file, err) != 0
               ? -1
               : 0;
}

static int read_config(struct kube_credentials *c, const json_t *config, const char *base,
    const char *dir, struct err *err)
{
    const char *context_name = jget_str(config, "current-context", "");
    const json_t *context = named(config, "contexts", context_name, "context");
    const json_t *cluster = named(config, "clusters", jget_str(context, "cluster", ""), "cluster");
    const char *user_name = jget_str(context, "user", "");
    const json_t *user = named(config, "users", user_name, "user");
    const char *server = jget_str(cluster, "server", NULL);
    if (context == NULL || server == NULL) {
        return err_set(err, ERR_INVALID,
            "kubeconfig: current-context '%.100s' leads to no cluster with a server; see kubectl "
            "config get-contexts",
            context_name);
    }
    const char *host = strstr(server, "://");
    if ((!str_starts(server, "http://") && !str_starts(server, "https://")) || host[3] == '\0' ||
        host[3] == '/') {
        return err_set(
            err, ERR_INVALID, "kubeconfig: server '%.200s' is not an http(s) address", server);
    }
    if (user == NULL && user_name[0] != '\0') {
        return err_set(err, ERR_INVALID, "kubeconfig: there is no user '%.100s'", user_name);
    }
    static const char *const unbuilt[] = {"proxy-url", "tls-server-name"};
    for (size_t i = 0; i < ARRAY_LEN(unbuilt); i++) {
        if (json_object_get(cluster, unbuilt[i]) != NULL) {
            return err_set(err, ERR_INVALID,
                "kubeconfig: clusters with '%s' are not supported; use one whose server can be "
                "reached directly",
                unbuilt[i]);
        }
    }
    size_t len = strlen(server);
    while (len > 0 && server[len - 1] == '/') {
        len--;
    }
    c->server = xstrndup(server, len);
    c->insecure = strcmp(jget_str(cluster, "insecure-skip-tls-verify", ""), "true") == 0;
    c->namespace_ = xstrdup(jget_str(context, "namespace", "default"));
    if (file_member(cluster, "certificate-authority", base, dir, "ca.pem", &c->ca_file, err) != 0) {
        return -1;
    }
    return user != NULL ? read_user(c, user, base, dir, err) : 0;
}

int kube_credentials_parse(struct kube_credentials *out, const char *text, size_t len,
    const char *base, const char *dir, struct err *err)
{
    memset(out, 0, sizeof *out);
    json_t *config = config_json(text, len, err);
    int rc = config != NULL ? read_config(out, config, base, dir, err) : -1;
    json_decref(config);
    if (rc != 0) {
        kube_credentials_done(out);
    }
    return rc;
}

static int load_file(
    struct kube_credentials *out, const char *path, const char *dir, struct err *err)
{
    size_t len = 0;
    CLEANUP(cleanup_free) char *text = file_read(path, CONFIG_MAX, &len, err);
    if (text == NULL) {
        return err_wrap(err, "kubeconfig");
    }
    const char *slash = strrchr(path, '/');
    CLEANUP(cleanup_free)
    char *base = slash != NULL ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
    return kube_credentials_parse(out, text, len, base, dir, err);
}

static int load_service_account(struct kube_credentials *out, struct err *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    memset(out, 0, sizeof *out);
    if (host == NULL || port == NULL) {
        return err_set(err, ERR_NOT_FOUND, "not in a pod");
    }
    bool is_v6 = strchr(host, ':') != NULL;
    out->server = xasprintf("https://%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
    out->ca_file = xstrdup(ACCOUNT_DIR "/ca.crt");
    out->token_file = xstrdup(ACCOUNT_DIR "/token");
    out->namespace_ = file_read(ACCOUNT_DIR "/namespace", 256, NULL, err);
    if (out->namespace_ == NULL) {
        kube_credentials_done(out);
        return err_wrap(err, "service account");
    }
    out->namespace_[strcspn(out->namespace_, "\r\n")] = '\0';
    return 0;
}

int kube_credentials_load(
    struct kube_credentials *out, const char *kubeconfig, const char *dir, struct err *err)
{
    const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");
    if (kubeconfig != NULL) {
        return load_file(out, kubeconfig, dir, err);
    }
    if (env != NULL && env[0] != '\0') {
        CLEANUP(cleanup_free) char *first = xstrndup(env, strcspn(env, ":"));
        return load_file(out, first, dir, err);
    }
    if (access(ACCOUNT_DIR "/token", R_OK) == 0) {
        return load_service_account(out, err);
    }
    CLEANUP(cleanup_free) char *path = xasprintf("%s/.kube/config", home != NULL ? home : "");
    if (access(path, R_OK) != 0) {
        return err_set(err, ERR_NOT_FOUND,
            "no cluster found: give --kubeconfig FILE, set KUBECONFIG, or run in a pod (looked at "
            "%s last)",
            path);
    }
    return load_file(out, path, dir, err);
}
