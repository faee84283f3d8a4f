// SPDX-License-Identifier: Apache-2.0
// GitHub's own examples: all of github.com's, and of each release of Enterprise Server those of
// the events that start runs. Out: [{set, event, payload}].
import { readFileSync, readdirSync } from "node:fs";

const root = new URL("node_modules/@octokit/webhooks-examples/", import.meta.url);
const wanted = ["push", "pull_request", "release", "ping"];
const out = readdirSync(root, { withFileTypes: true }).filter((e) => e.isDirectory()).flatMap(({ name: set }) =>
  JSON.parse(readFileSync(new URL(`${set}/index.json`, root), "utf8"))
    .filter(({ name }) => set === "api.github.com" || wanted.includes(name))
    .flatMap(({ name, examples }) => examples.map((payload) => ({ set, event: name, payload }))));
process.stdout.write(JSON.stringify(out));
