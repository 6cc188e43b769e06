/* Links as a program for the driver links, under the names that the headers' macros choose, and is refused as they promise. */
#include <cuda.h>
#include <nvml.h>
#include <string.h>

int main(void) {
    int count = 0;
    unsigned int units = 0;
    CUdeviceptr memory = 0;
    nvmlDevice_t device;

    if (cuInit(0) != CUDA_ERROR_STUB_LIBRARY || cuDeviceGetCount(&count) != CUDA_ERROR_STUB_LIBRARY)
        return 1;
    if (cuMemAlloc(&memory, 16) != CUDA_ERROR_STUB_LIBRARY)
        return 2;
    if (nvmlInit() != NVML_ERROR_LIBRARY_NOT_FOUND || nvmlDeviceGetCount(&units) != NVML_ERROR_LIBRARY_NOT_FOUND)
        return 3;
    if (nvmlDeviceGetHandleByIndex(0, &device) != NVML_ERROR_LIBRARY_NOT_FOUND)
        return 4;
    return strcmp(nvmlErrorString(NVML_SUCCESS), "stub library") == 0 ? 0 : 5;
}
