/* SPDX-License-Identifier: Apache-2.0
 *
 * nice: threads whose work can wait give way to mail and to what stores it (nice(1), setpriority(2)).
 */
#ifndef BASE_NICE_H
#define BASE_NICE_H

/* CARRY: what takes events from the spool to the hub, after answers and before questions. BACKGROUND: all
 * that runs beside the loader, questions and jobs alike, because who holds a lock that the loader needs must
 * not wait long; on a processor that is busy with mail it still gets a tenth. */
enum { NICE_CARRY = 5, NICE_BACKGROUND = 10 };

/* Lowers the calling thread's priority to that, for good: a thread without privileges can't take back what it
 * gave up. Threads that it starts inherit it. Refused or not, the work goes on. */
void nice_lower(int nice);

#endif
