/* A CodeGeneratorRequest from anyone: files or a message, never a crash, never without end. */
#include "capnpc/generate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct made_file *files;
    const char *message = generate(ww_bytes(data, len), &files);
    WW_ASSERT(!message || (!files && *message));
    for (; files; files = files->next)
        WW_ASSERT(*files->path && files->text.len > 0);
    keep_free_all();
    return 0;
}
