// SPDX-License-Identifier: Apache-2.0
// Verify messages with npm's standardwebhooks. In: {secret, messages: [{headers, body (base64)}]}.
// Out: a list of true or the complaint.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { secret, messages } = JSON.parse(readFileSync(0, "utf8"));
const webhook = new Webhook(secret);
const verdicts = messages.map(({ headers, body }) => {
  try {
    webhook.verify(Buffer.from(body, "base64").toString("utf8"), headers);
    return true;
  } catch (error) {
    return String(error);
  }
});
process.stdout.write(JSON.stringify(verdicts));
