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
 *   "values": [[7, 0, 12]],                 optional: what placeholders were replaced by: index in
 *                                            argv, then begin and length in bytes of each
 *   "env": {"NAME": "value"},                added to the launcher's own environment
 *   "env_values": {"NAME": [0, 5]},          optional: as `values`, of env
 *   "work_dir": "/abs",                      cwd and home of relative things; "" = stay
 *   "make_dirs": ["/abs", ...],              created (0755) before the command starts
 *   "inputs":  [{"name": "data", "uri": "...", "path": "/abs"}],
 *   "outputs": [{"name": "model", "uri": "...", "path": "/abs",      artifacts; a list may be
 *                "is_list": true}],                                  several, see "more"
 *   "output_params": [{"name": "x", "path": "/abs"}],
 *   "output_file": "/abs/executor_output.json",
 *   "input_files": [{"path": "/abs", "text": "..."}],    optional: written before the command
 *   "file_outputs": [{"name": "x", "from": "/tmp/out", "path": "/abs"}],   optional: after success
 *                                            what is at `from` is copied to the output's path,
 *                                            unless something is there; nothing at either: the
 *                                            output was not written. Over --order also not when
 *                                            the command left `from` as it found it
 *   "timeout_s": 0,                          0 = none; covers everything up to the command's end
 *   "max_param_bytes": 1048576, "max_output_file_bytes": 8388608, "log_tail_bytes": 8192
 * }
 * Parents of every output path are created by the launcher, make_dirs or not.
 *
 * $(NAME) in argv and env values is expanded by the launcher as a kubelet does it: names of the
 * order's env, then of the launcher's environment; unknown ones stay; "$$" becomes "$". That holds
 * for what the pipeline's author wrote. `values` are data and left alone, as with KFP, which puts
 * them in after that.
 *
 * The SDK knows no file:// URIs: it takes a `uri` without gs://, s3:// or minio:// for a path. So
 * {{$}} must carry executor_ops.artifact_path() as `uri` where the URI is a file:// one, and
 * `outputFile` should lie in the task's folder (dsl.get_uri is its directory). The launcher maps
 * such a path in executor_output.json back: the report's `artifacts` has the real URIs.
 *
 * The executor adds what belongs to it:
 *   "transfer": false                        artifacts are already local files (local + folder)
 *   "transfer": {}                           fetch and store over HTTP at the launcher's own URL
 *   "transfer": {"url": "http://...", "token": "..."}   at another one
 *   "artifact_root": {"uri": "file:///data/artifacts", "path": "/data/artifacts"}   local only
 *   "base_env": [{"name": "A", "value": "text"},                                    local only
 *                {"name": "B", "file": "/abs/secrets/db/password", "of": "key ...",
 *                 "is_optional": false, "is_secret": true}]
 *                                            before env, for $(NAME) too; a file's text without
 *                                            a newline at its end
 *   "mounts": [{"path": "/mnt/x", "from": "/abs/folder", "of": "secret 'db'", "make": false,
 *               "read_only": true, "is_quiet": false, "is_secret": true}]             local only
 *                                            from, which has to be there unless `make`, is
 *                                            mounted at path in the launcher's own mount
 *                                            namespace; is_quiet: not a word if that cannot be
 *   "mounting": {"is_allowed": true, "dir": "/abs/mnt", "keep": ["/abs/data"]}      with mounts
 *                                            dir: for use while mounting; keep: nothing is
 *                                            mounted over, into or around these
 *   "venv": {"dir": "/abs/venvs", "cache": "/abs/pip", "private": "/abs/venv"}      local only
 *   "cleanup": ["/abs", ...]                 removed when all is reported
 *   "log_max_bytes": 0                       output past it is not passed on; 0 = all of it
 *   "report_deadline_s": 86400               go on posting the report, and artifacts, so long
 *   "grace_s": 10                            between SIGTERM and SIGKILL
 *
 * Report, version 1:
 * {
 *   "v": 1, "state": "SUCCEEDED" | "FAILED" | "CANCELED" | "TIMED_OUT",
 *   "exit_code": 0,                          128 + signal when killed by one; -1: never started
 *   "reason": "...",                         one sentence; "" when SUCCEEDED
 *   "started_us": 0, "ended_us": 0,
 *   "output_file": "{...}" | null,           raw text of executor_output.json if it exists
 *   "params": {"x": "raw text"},             files that exist
 *   "artifacts": {"model": {"uri": "...", "path": "/abs", "exists": true, "size": 123,
 *                           "digest": "sha256:...",     digest for single files only
 *                           "more": [{...}, ...]}},     of a list, those after the first; they are
 *                                                       at <uri>/..., or at <uri>-<place in the list>
 *   "log_tail": "..."
 * }
 * exit_code 126: found but could not be executed; 127: not found.
 *
 * Over HTTP the launcher gets a base URL, <daemon>/internal/attempts/{run}/{task}/{attempt}, and
 * a token that is good for this attempt only, sent as "Authorization: Bearer <token>":
 *
 *   GET  /order                              200 the work order
 *   POST /running                            2xx; a hint, sent once just before the command
 *   GET  /artifacts?uri=U&list=1             200 {"files": [{"file": "", "size": 3}, ...]};
 *                                            "" = the artifact is this one file; 404 = nothing
 *   GET  /artifacts?uri=U&file=F&offset=N    200 up to ORDER_PART_MAX bytes from there on, and the
 *                                            file's size in the header X-Total
 *   PUT  /artifacts?uri=U&file=F&offset=N    2xx; parts of ORDER_PART_MAX in order, the last one
 *        [&final=1&total=T&sha256=HEX]       (maybe empty) with final, total and sha256;
 *                                            409 = these bytes do not follow what is there: the
 *                                            launcher starts the file anew at offset 0
 *   POST /report                             2xx; the report. Repeating it is harmless
 *
 * U and F are percent-encoded. 408, 425, 429, 5xx, and no answer: tried again with backoff and
 * jitter until the deadline (order: 10 minutes; the others: report_deadline_s). Any other status
 * is final: for the order and the report 404, 409 and 410 say that the attempt is over and the
 * launcher ends silently; else the step fails, quoting the body's "message" (or "error").
 */
#ifndef SCHEDULER_ORDER_H
#define SCHEDULER_ORDER_H

#define ORDER_VERSION 1
#define REPORT_VERSION 1

#define ORDER_PART_MAX (4u * 1024 * 1024)
#define ORDER_MAX_BYTES (32u * 1024 * 1024)  /* largest work order that a launcher reads */
/* Largest report that an executor accepts; the launcher reports a failure instead of a larger one. */
#define REPORT_MAX_BYTES (32u * 1024 * 1024)

#endif
