/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher's two documents. The engine writes the work order, the launcher writes the
 * report. Both are JSON so that any executor can carry them (a file beside a local process,
 * HTTP for a pod).
 *
 * Work order, version 1:
 * {
 *   "v": 1,
 *   "run_id": "...", "task_id": "...", "attempt": 0, "task": "train", "run_name": "nightly-3",
 *   "argv": ["sh", "-c", ...],               rendered; never empty
 *   "env": {"NAME": "value"},                added to the launcher's own environment
 *   "work_dir": "/abs",                      cwd and home of relative things
 *   "make_dirs": ["/abs", ...],              created (0755) before the command starts
 *   "inputs":  [{"name": "data", "uri": "...", "path": "/abs"}],
 *   "outputs": [{"name": "model", "uri": "...", "path": "/abs"}],    artifacts
 *   "output_params": [{"name": "x", "path": "/abs"}],
 *   "output_file": "/abs/executor_output.json",
 *   "timeout_s": 0,                          0 = none
 *   "max_param_bytes": 1048576, "max_output_file_bytes": 8388608, "log_tail_bytes": 8192
 * }
 * The executor adds what belongs to it:
 *   "transfer": false                        artifacts are already local files (local + folder)
 *   "transfer": {"url": "http://...", "token": "..."}   fetch and store over HTTP
 *
 * Report, version 1:
 * {
 *   "v": 1, "state": "SUCCEEDED" | "FAILED" | "CANCELED" | "TIMED_OUT",
 *   "exit_code": 0,                          128 + signal when killed by one
 *   "reason": "...",                         one sentence; "" when SUCCEEDED
 *   "started_us": 0, "ended_us": 0,
 *   "output_file": "{...}" | null,           raw text of executor_output.json if it exists
 *   "params": {"x": "raw text"},             files that exist
 *   "artifacts": {"model": {"uri": "...", "path": "/abs", "exists": true, "size": 123,
 *                           "digest": "sha256:..."}},   digest for single files only
 *   "log_tail": "..."
 * }
 */
#ifndef SCHEDULER_ORDER_H
#define SCHEDULER_ORDER_H

#define ORDER_VERSION 1
#define REPORT_VERSION 1

#endif
