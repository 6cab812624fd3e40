/* SPDX-License-Identifier: Apache-2.0
 *
 * document: the API's description (OpenAPI 3.1, JSON), put together from docs/openapi at build time by
 * tools/openapi.
 */
#ifndef API_DOCUMENT_H
#define API_DOCUMENT_H

#include <stddef.h>

extern const unsigned char api_document[];
extern const size_t api_document_bytes;

#endif
