/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"

#include <stdio.h>

void config_print(const struct config *config)
{
    size_t n;
    const struct setting *list = schema_settings(config->program, &n);

    printf("[%s]\n", schema_program_name(config->program));
    for (size_t i = 0; i < n; i++) {
        const struct config_value *value = &config->values[i];
        const char *text = list[i].rule.secret && *value->text ? "(hidden)" : value->text;
        int width = printf("%s = %s", list[i].key, text);
        printf("%*s # %s\n", width < 48 ? 48 - width : 0, "", value->origin);
    }
}
