/* Links against each library that others build upon, loads each provider named, and asks for the devices: none is a good answer. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <infiniband/efadv.h>
#include <infiniband/mlx5dv.h>
#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

int main(int argc, char **argv)
{
    int count = 0;
    struct ibv_device **devices = ibv_get_device_list(&count);

    if (!devices && errno != ENOSYS) { /* ENOSYS: this kernel has no verbs */
        perror("ibv_get_device_list");
        return 1;
    }
    printf("%d devices; mlx5dv %p, efadv %p, rdmacm %p\n", count, (void *)mlx5dv_is_supported,
           (void *)efadv_query_device, (void *)rdma_create_event_channel);
    for (int i = 1; i < argc; i++)
        if (!dlopen(argv[i], RTLD_NOW)) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
    printf("%d providers loaded\n", argc - 1);
    return 0;
}
