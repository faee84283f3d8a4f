/* SPDX-License-Identifier: Apache-2.0 */
/* What pods' statuses, as Kubernetes writes them, mean for their attempts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "exec/pods.h"

#define MAIN(state) "'containerStatuses':[{'name':'main','state':{" state "}}]"
#define INIT(state) "'initContainerStatuses':[{'name':'rondo-launcher','state':{" state "}}]"
#define VERDICT(text) "'terminated':{'exitCode':3,'reason':'Error','message':'" text "'}"

enum { WAITING = POD_PHASE_WAITING, RUNNING = POD_PHASE_RUNNING, OVER = POD_PHASE_OVER };
enum { NONE = -1, FAILED = ATTEMPT_STATE_FAILED, LOST = ATTEMPT_STATE_LOST };

static const struct {
    const char *name, *status;
    int phase, state, exit_code;
    bool is_hopeless;
    const char *words; /* part of them; "" none at all; NULL any */
} rows[] = {
    {"just made", "'phase':'Pending'", WAITING, NONE, -1, false, ""},
    {"no status", "", WAITING, NONE, -1, false, ""},
    {"no node",
        "'phase':'Pending','conditions':[{'type':'PodScheduled','status':'False',"
        "'reason':'Unschedulable','message':'0/3 nodes are available'}]",
        WAITING, NONE, -1, false, "no node takes it: Unschedulable: 0/3 nodes are available"},
    {"usual steps",
        "'phase':'Pending'," INIT("'waiting':{'reason':'PodInitializing'}") "," MAIN(
            "'waiting':{'reason':'ContainerCreating'}"),
        WAITING, NONE, -1, false, ""},
    {"image not found",
        "'phase':'Pending'," MAIN("'waiting':{'reason':'ImagePullBackOff','message':'Back-off'}"),
        WAITING, NONE, -1, false, "container main cannot start: ImagePullBackOff: Back-off"},
    {"launcher image not found", "'phase':'Pending'," INIT("'waiting':{'reason':'ErrImagePull'}"),
        WAITING, NONE, -1, false, "container rondo-launcher cannot start: ErrImagePull"},
    {"config error", "'phase':'Pending'," MAIN("'waiting':{'reason':'CreateContainerConfigError'}"),
        WAITING, NONE, -1, false, "CreateContainerConfigError"},
    {"image name", "'phase':'Pending'," MAIN("'waiting':{'reason':'InvalidImageName'}"), WAITING,
        NONE, -1, true, "InvalidImageName"},
    {"runs", "'phase':'Running'," MAIN("'running':{'startedAt':'2026-01-01T00:00:00Z'}"), RUNNING,
        NONE, -1, false, ""},
    {"node does not answer", "'phase':'Unknown','reason':'NodeLost'", RUNNING, NONE, -1, false,
        "its node does not answer"},
    {"container over, pod not yet", "'phase':'Running'," MAIN("'terminated':{'exitCode':0}"),
        RUNNING, NONE, -1, false, ""},
    {"sidecar goes on",
        "'phase':'Running','containerStatuses':[{'name':'main','state':{'terminated':"
        "{'exitCode':4,'reason':'Error'}}},{'name':'proxy','state':{'running':{}}}]",
        OVER, FAILED, 4, false, "exit code 4"},
    {"well, without a report",
        "'phase':'Succeeded'," MAIN("'terminated':{'exitCode':0,'reason':'Completed'}"), OVER, LOST,
        0, false, "no report"},
    {"verdict failed",
        "'phase':'Failed'," MAIN(
            VERDICT("{\\\"v\\\":1,\\\"state\\\":\\\"FAILED\\\",\\\"exit_code\\\":3,"
                    "\\\"reason\\\":\\\"exit code 3\\\"}")),
        OVER, FAILED, 3, false, "exit code 3"},
    {"verdict timed out",
        "'phase':'Failed'," MAIN(
            VERDICT("{\\\"v\\\":1,\\\"state\\\":\\\"TIMED_OUT\\\","
                    "\\\"exit_code\\\":143,\\\"reason\\\":\\\"took more than 2 s\\\"}")),
        OVER, FAILED, 143, false, "took more than 2 s"},
    {"verdict canceled by others",
        "'phase':'Failed'," MAIN(VERDICT("{\\\"v\\\":1,\\\"state\\\":\\\"CANCELED\\\"}")), OVER,
        LOST, -1, false, "somebody else"},
    {"verdict good, report lost",
        "'phase':'Failed'," MAIN(
            VERDICT("{\\\"v\\\":1,\\\"state\\\":\\\"SUCCEEDED\\\",\\\"exit_code\\\":0}")),
        OVER, LOST, 0, false, "report never arrived"},
    {"last words of something else", "'phase':'Failed'," MAIN(VERDICT("{oops")), OVER, FAILED, 3,
        false, "{oops"},
    {"killed from outside",
        "'phase':'Failed'," MAIN("'terminated':{'exitCode':137,'reason':'Error'}"), OVER, LOST, 137,
        false, "exit code 137"},
    {"out of memory",
        "'phase':'Failed'," MAIN("'terminated':{'exitCode':137,'reason':'OOMKilled'}"), OVER,
        FAILED, 137, false, "more memory than its limit"},
    {"evicted",
        "'phase':'Failed','reason':'Evicted','message':'The node was low on resource: memory.'",
        OVER, LOST, -1, false, "low on resource"},
    {"node shut down",
        "'phase':'Failed','reason':'Terminated','message':'Pod was terminated in response to "
        "imminent node shutdown.'," MAIN("'terminated':{'exitCode':143}"),
        OVER, LOST, -1, false, "node shutdown"},
    {"no room on the node", "'phase':'Failed','reason':'OutOfcpu','message':'x'", OVER, LOST, -1,
        false, "OutOfcpu"},
    {"preempted",
        "'phase':'Failed','conditions':[{'type':'DisruptionTarget','status':'True','reason':"
        "'PreemptionByScheduler','message':'x'}]," MAIN("'terminated':{'exitCode':137}"),
        OVER, LOST, -1, false, "PreemptionByScheduler"},
    {"container vanished",
        "'phase':'Failed'," MAIN("'terminated':{'exitCode':137,'reason':'ContainerStatusUnknown'}"),
        OVER, LOST, 137, false, "its container vanished"},
    {"deadline", "'phase':'Failed','reason':'DeadlineExceeded','message':'Pod was active'", OVER,
        FAILED, -1, false, "it timed out: DeadlineExceeded: Pod was active"},
    {"init failed",
        "'phase':'Failed'," INIT("'terminated':{'exitCode':1,'reason':'Error','message':'no "
                                 "space'}") "," MAIN("'waiting':{'reason':'PodInitializing'}"),
        OVER, FAILED, -1, false, "init container rondo-launcher ended with exit code 1"},
    {"says nothing", "'phase':'Failed'", OVER, LOST, -1, false, "without saying why"},
    {"wrong kinds", "'phase':'Failed','containerStatuses':3,'conditions':{}", OVER, LOST, -1, false,
        NULL},
    {"kinds within", "'phase':'Failed','containerStatuses':[1,{'name':'main','state':[]}]", OVER,
        LOST, -1, false, NULL},
};

static json_t *pod_of(const char *status)
{
    char text[4096];
    snprintf(text, sizeof text, "{'metadata':{'name':'x'},'status':{%s}}", status);
    for (char *p = text; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json_error_t error;
    json_t *pod = json_loads(text, 0, &error);
    if (pod == NULL) {
        fail_msg("%s: %s", error.text, text);
    }
    return pod;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *pod CLEANUP(json_decrefp) = pod_of(rows[i].status);
        struct pod_status got;
        pod_status_read(pod, &got);
        bool has_words = rows[i].words == NULL ||
                         (rows[i].words[0] == '\0' ? got.words[0] == '\0'
                                                   : strstr(got.words, rows[i].words) != NULL);
        if ((int)got.phase != rows[i].phase || got.exit_code != rows[i].exit_code ||
            got.is_hopeless != rows[i].is_hopeless || !has_words ||
            (rows[i].state != NONE && (int)got.state != rows[i].state)) {
            fail_msg("%s: phase %d state %d exit code %d words '%s'", rows[i].name, got.phase,
                got.state, got.exit_code, got.words);
        }
    }
}

static void test_words_are_bounded(void **state)
{
    (void)state;
    char status[3500];
    int n = snprintf(status, sizeof status, "'phase':'Failed','reason':'Evicted','message':'");
    memset(status + n, 'x', 3000);
    snprintf(status + n + 3000, sizeof status - (size_t)n - 3000, "'");
    json_t *pod CLEANUP(json_decrefp) = pod_of(status);
    struct pod_status got;
    pod_status_read(pod, &got);
    assert_true(strlen(got.words) < POD_WORDS_MAX);
    pod_status_read(NULL, &got);
    assert_int_equal(got.phase, POD_PHASE_WAITING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_words_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
