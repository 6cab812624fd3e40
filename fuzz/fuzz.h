/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz: the one function of a harness, as libFuzzer and replay.c call it.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Feeds bytes[0..n) to one parser. Always 0; what the parser must not do, the sanitizers and asserts catch.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#endif
