// SPDX-License-Identifier: Apache-2.0
// GitHub's own signer and verifier, a question and an answer a line. In: {secret, body}, and a
// signature to have it verified. Out: the signature, or true or false.
import { createInterface } from "node:readline";
import { sign, verify } from "@octokit/webhooks-methods";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, body, signature } = JSON.parse(line);
  let answer = false; // it throws where a signature is empty
  try {
    answer = await (signature === undefined ? sign(secret, body) : verify(secret, body, signature));
  } catch {}
  process.stdout.write(JSON.stringify(answer) + "\n");
}
