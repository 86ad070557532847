#include <stdio.h>

#include "tool.h"

bool tool_gossip_serve(struct tool *t)
{
    return true;
}

void tool_gossip_run(struct tool *t)
{
    fputs("ww-peer: cannot do gossip\n", stderr);
    tool_stop(t, TOOL_CANNOT);
}
