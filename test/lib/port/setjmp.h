/* test/lib/port/setjmp.h — cmocka's users include <setjmp.h>; a guest has none, and our cmocka.h needs none.
 */
