/* SPDX-License-Identifier: Apache-2.0
 *
 * hub: what `mail-analytics serve` runs. Three threads besides the main loop, in the order of the flow:
 *   receive  ROUTER sockets, ZAP, sessions; appends batches to the hub's journal, one fdatasync for all that
 * came together, then acks (receive.h) load     reads the journal, parses, classifies, consolidates, stores
 * with its cursor (loader.h) workers  questions from the control socket (control.h), on the loop's thread
 * pool
 */
#ifndef HUB_HUB_H
#define HUB_HUB_H
#include "base/err.h"
#endif
