/* Prints the version of libgdrapi that is loaded, which must be the header's. Without its driver it opens nothing. */
#include <gdrapi.h>
#include <stdio.h>

int main(void)
{
    int major = 0, minor = 0;

    gdr_runtime_get_version(&major, &minor);
    printf("libgdrapi %d.%d\n", major, minor);
    if (major != GDR_API_MAJOR_VERSION || minor != GDR_API_MINOR_VERSION)
        return 1;
    gdr_t opened = gdr_open();
    if (opened != NULL)
        gdr_close(opened);
    return 0;
}
