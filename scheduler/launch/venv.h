/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python environments for local steps, so that "pip install" never touches the system.
 *
 * A component made by the SDK is wrapped in a script that installs packages and then runs
 * "$0" "$@". Its installation is done once per script and Python, in DATA/venvs/<digest>/; later
 * steps run the rest straight away in that environment. Any other command that mentions
 * "pip install" gets an environment of its own, gone with the step's folder.
 */
#ifndef LAUNCH_VENV_H
#define LAUNCH_VENV_H

#include <stddef.h>

struct command;
struct command_result;
struct order;

enum venv_kind { VENV_KIND_NONE, VENV_KIND_CACHED, VENV_KIND_PRIVATE };

enum venv_kind venv_kind_of(char *const *argv, size_t argc);

struct venv {
    char **env;  /* the command's environment with it; owned, or NULL */
    size_t skip; /* argv elements that are done with */
    int lock_fd; /* held while the step runs; -1 */
};
/*
 * Prepare what the order's command needs. `base` has deadline, signals and output. out_result
 * tells why not (its end is not EXITED, or its exit code not 0) when -1 is returned.
 */
int venv_prepare(const struct order *order, const struct command *base, struct venv *out,
    struct command_result *out_result);
void venv_done(struct venv *venv);

#endif
