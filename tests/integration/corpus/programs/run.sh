# SPDX-License-Identifier: Apache-2.0
# Stands for run.sh of gcr.io/my-image: says what it was given, and writes that to --model_config_path.
printf '%s\n' "$@"
for word in "$@"; do
    [ "$last" = --model_config_path ] && printf '%s\n' "$@" > "$word"
    last=$word
done
