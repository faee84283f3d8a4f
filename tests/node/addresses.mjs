// SPDX-License-Identifier: Apache-2.0
// What npm's ipaddr.js calls the addresses at the edges of every special block: the first and
// the last of each, one in it and their neighbours outside. Writes tests/data/addresses.tsv, which the
// unit test of base/ip.h reads:  node addresses.mjs > ../data/addresses.tsv
import ipaddr from "ipaddr.js";

// IANA's special-purpose registries (IPv4, IPv6), multicast, and the edges of what is given out.
const blocks = [
  "0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
  "172.16.0.0/12", "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32",
  "192.0.0.10/32", "192.0.0.170/31", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
  "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
  "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
  "::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96",
  "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2000::/3", "2001::/23", "2001::/32",
  "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32",
  "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32",
  "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
  "fec0::/10", "ff00::/8",
];
// Mapped ones: each IPv4 block once more.
const mapped = (text) => (text.includes(":") ? [] : [`::ffff:${text}`]);

const toNumber = (bytes) => bytes.reduce((n, b) => (n << 8n) | BigInt(b), 0n);
function toText(number, size) {
  const bytes = [];
  for (let i = size - 1; i >= 0; i--) bytes.push(Number((number >> BigInt(8 * i)) & 255n));
  return ipaddr.fromByteArray(bytes).toString();
}

const seen = new Set();
for (const block of blocks) {
  const [address, bits] = block.split("/");
  const bytes = ipaddr.parse(address).toByteArray();
  const first = toNumber(bytes);
  const last = first + (1n << BigInt(8 * bytes.length - Number(bits))) - 1n;
  const top = (1n << BigInt(8 * bytes.length)) - 1n;
  for (const at of [first - 1n, first, first + (last - first) / 3n, last, last + 1n]) {
    if (at >= 0n && at <= top) {
      const text = toText(at, bytes.length);
      for (const one of [text, ...mapped(text)]) seen.add(one);
    }
  }
}
for (const text of seen) {
  let parsed = ipaddr.parse(text);
  if (parsed.kind() === "ipv6" && parsed.isIPv4MappedAddress()) parsed = parsed.toIPv4Address();
  process.stdout.write(`${text}\t${parsed.range()}\n`);
}
