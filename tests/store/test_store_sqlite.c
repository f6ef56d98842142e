/* test_store_sqlite.c: the conformance suite over the SQLite backend. */
#include "conformance.h"

int main(void)
{
    return conformance_run(store_sqlite_open, NULL, 0);
}
