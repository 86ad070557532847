/* Many vats and a model of what their references have to reach: see graph.h. The bytes are the script; in the
 * header they also say whether memory runs out, and a malicious vat takes part. */
#include "graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t fail_at = size > GRAPH_HEADER && data[7] & 1 ? (size_t)data[7] * 2 + data[6] : 0;
    graph_run((struct script){data, size}, fail_at, size > GRAPH_HEADER && data[7] & 2, false, NULL);
    return 0;
}
