/* SPDX-License-Identifier: Apache-2.0
 *
 * chance: see chance.h.
 */
#include "chance.h"

#include <math.h>

uint64_t chance_mix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void chance_seed(struct chance *chance, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        chance->s[i] = chance_mix(&seed);
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t chance_u64(struct chance *chance)
{
    uint64_t *s = chance->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double chance_unit(struct chance *chance)
{
    return (double)(chance_u64(chance) >> 11) * 0x1.0p-53;
}

unsigned chance_below(struct chance *chance, unsigned n)
{
    return (unsigned)(chance_unit(chance) * n);
}

double chance_normal(struct chance *chance)
{
    double u = 1.0 - chance_unit(chance), v = chance_unit(chance);
    return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
}

size_t chance_weighted(struct chance *chance, const double *weights, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += weights[i];
    double at = chance_unit(chance) * sum;
    for (size_t i = 0; i + 1 < n; i++) {
        if (at < weights[i])
            return i;
        at -= weights[i];
    }
    return n - 1;
}
