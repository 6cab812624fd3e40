/* SPDX-License-Identifier: Apache-2.0
 *
 * accept_encoding: see accept_encoding.h.
 */
#include "accept_encoding.h"

enum { MOST = 1000, UNSAID = -1 }; /* weights, in thousandths */

/* "0.5" → 500; RFC 9110, 12.4.2: at most three digits behind the point, 1 at most. Else UNSAID. */
static int parse_weight(struct slice s)
{
    int weight, unit = 100;
    if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
        return UNSAID;
    weight = (s.p[0] - '0') * MOST;
    for (size_t i = 2; i < s.n; i++, unit /= 10) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return UNSAID;
        weight += (s.p[i] - '0') * unit;
    }
    return weight <= MOST ? weight : UNSAID;
}

/* "gzip;q=0.5" → its name and weight; UNSAID when it is not well formed. */
static int parse_item(struct slice item, struct slice *name)
{
    struct slice rest = item, parameter;
    if (!slice_split(&rest, ';', name))
        return UNSAID;
    *name = slice_trim(*name);
    if (!slice_split(&rest, ';', &parameter))
        return MOST;
    parameter = slice_trim(parameter);
    if (rest.n > 0 || parameter.n < 2 || (parameter.p[0] | 0x20) != 'q' || parameter.p[1] != '=')
        return UNSAID;
    return parse_weight((struct slice){parameter.p + 2, parameter.n - 2});
}

enum http_coding http_choose_coding(struct slice value, unsigned available)
{
    int gzip = UNSAID, br = UNSAID, any = 0;
    struct slice rest = value, item, name = {NULL, 0};
    while (slice_split(&rest, ',', &item)) {
        item = slice_trim(item);
        if (item.n == 0)
            continue; /* RFC 9110, 5.6.1: lists may have holes */
        int weight = parse_item(item, &name);
        if (weight == UNSAID)
            return HTTP_IDENTITY;
        if (slice_equal_nocase(name, SLICE("br")))
            br = weight;
        else if (slice_equal_nocase(name, SLICE("gzip")) || slice_equal_nocase(name, SLICE("x-gzip")))
            gzip = weight;
        else if (slice_equal(name, SLICE("*")))
            any = weight;
    }
    br = (available & HTTP_BR) == 0 ? 0 : br == UNSAID ? any : br;
    gzip = (available & HTTP_GZIP) == 0 ? 0 : gzip == UNSAID ? any : gzip;
    if (br == 0 && gzip == 0)
        return HTTP_IDENTITY;
    return br >= gzip ? HTTP_BR : HTTP_GZIP;
}
