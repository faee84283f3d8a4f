/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints that pods call, each with its attempt's token. */
#include "api/api.h"

const struct route routes_internal[] = {
    {NULL, NULL, NULL, ROUTE_SIGNED},
};
