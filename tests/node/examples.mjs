// SPDX-License-Identifier: Apache-2.0
// All of GitHub's own examples. Out: [{event, payload}].
import { createRequire } from "node:module";

const examples = createRequire(import.meta.url)("@octokit/webhooks-examples");
const out = (examples.default ?? examples).flatMap(
  ({ name, examples: payloads }) => payloads.map((payload) => ({ event: name, payload })));
process.stdout.write(JSON.stringify(out));
