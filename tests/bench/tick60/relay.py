# SPDX-License-Identifier: Apache-2.0
"""A TCP relay on loopback: `relay.py PORT` prints the port that it listens on and passes all on to PORT."""

import asyncio
import sys


async def carry(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def on_connection(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))
    for each in (writer, far_writer):
        each.close()


async def main():
    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
