/* Tells callgrind what to count: a library for a Python process that runs in it. Outside of callgrind its calls do nothing. */
#include <valgrind/callgrind.h>

void instrument(void);
void toggle(void);
void dump(const char *title);

/* Callgrind sees every instruction from here on, and counts none. */
void instrument(void) {
    CALLGRIND_START_INSTRUMENTATION;
}

/* Counts from here on, or no longer. */
void toggle(void) {
    CALLGRIND_TOGGLE_COLLECT;
}

/* Writes what was counted since the last dump to a file of its own. */
void dump(const char *title) {
    CALLGRIND_DUMP_STATS_AT(title);
}
