# SPDX-License-Identifier: Apache-2.0
"""Stands for the program that starts jobs of Vertex AI: reads its payload and says what it would start."""

import argparse
import json

parser = argparse.ArgumentParser()
for _name in ("type", "payload", "project", "location", "gcp_resources"):
    parser.add_argument("--" + _name, required=True)


def main():
    args = parser.parse_args()
    job = json.loads(args.payload)
    print(json.dumps(job, indent=1, sort_keys=True))
    machine = job["job_spec"]["worker_pool_specs"][0]["machine_spec"]["machine_type"]
    with open(args.gcp_resources, "w", encoding="utf-8") as file:
        file.write(f"{args.type} {job['display_name']} in {args.project}/{args.location} on {machine}")


if __name__ == "__main__":
    main()
