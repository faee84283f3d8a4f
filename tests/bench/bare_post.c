/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick for webhooks: curl's multi interface posting 600 bytes again and again, over connections
 * that are kept as rondo keeps them. usage: bare_post URL AT_ONCE COUNT; prints posts per second.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char body[601];

static size_t drop(char *data, size_t size, size_t count, void *owner)
{
    (void)data;
    (void)owner;
    return size * count;
}

static void begin(CURLM *multi, const char *url)
{
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
    curl_multi_add_handle(multi, easy);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bare_post URL AT_ONCE COUNT\n");
        return 2;
    }
    long at_once = strtol(argv[2], NULL, 10), count = strtol(argv[3], NULL, 10), begun = 0,
         ended = 0;
    memset(body, 'x', sizeof body - 1);
    curl_global_init(CURL_GLOBAL_ALL);
    CURLM *multi = curl_multi_init();
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (begun < at_once && begun < count) {
        begin(multi, argv[1]);
        begun++;
    }
    while (ended < count) {
        int running, left;
        curl_multi_perform(multi, &running);
        CURLMsg *message;
        while ((message = curl_multi_info_read(multi, &left)) != NULL) {
            CURL *easy = message->easy_handle;
            if (message->data.result != CURLE_OK) {
                fprintf(stderr, "%s\n", curl_easy_strerror(message->data.result));
                return 1;
            }
            curl_multi_remove_handle(multi, easy);
            curl_easy_cleanup(easy);
            ended++;
            if (begun < count) {
                begin(multi, argv[1]);
                begun++;
            }
        }
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double took = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    printf("%.0f\n", (double)count / took);
    curl_multi_cleanup(multi);
    return 0;
}
