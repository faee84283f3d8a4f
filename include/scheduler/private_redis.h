/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own redis-server, for installs without one: on a unix socket in the data folder,
 * append-only file on, gone when the daemon goes (also when it is killed).
 */
#ifndef SCHEDULER_PRIVATE_REDIS_H
#define SCHEDULER_PRIVATE_REDIS_H

struct err;
struct loop;
struct private_redis;

/*
 * Start it in <data_dir>/redis. A server that a killed daemon left behind is ended first (it
 * writes its file out). on_exit is called from the loop if it ends by itself.
 */
struct private_redis *private_redis_start(struct loop *loop, const char *data_dir,
    void (*on_exit)(void *owner, int status), void *owner, struct err *err);
/* "unix:/..." for store_settings.url. */
const char *private_redis_url(const struct private_redis *redis);
/* Ask it to write out and end; waits (blocking, bounded) for it. NULL is fine. */
void private_redis_stop(struct private_redis *redis);

#endif
