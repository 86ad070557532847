/* Many vats and a model of what their references have to reach: see graph.h. The bytes are the script; in the
 * header they also say whether memory runs out, by bits that mean nothing else (a run with membranes has to
 * be possible without), and a malicious vat takes part. */
#include "graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool memory = size > GRAPH_HEADER && (data[5] & 6) == 6;
    size_t fail_at = memory ? (size_t)data[7] * 2 + data[6] : 0;
    graph_run((struct script){data, size}, fail_at, memory && data[5] & 8, false, NULL);
    return 0;
}
