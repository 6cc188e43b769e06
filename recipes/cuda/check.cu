// A kernel and its launch, for the compiler and the linker; without a device only the runtime's version is asked.
#include <cstdio>

__device__ float values[32];

__global__ void scale(float factor) {
    values[threadIdx.x] *= factor;
}

int main() {
    int version = 0;
    if (cudaRuntimeGetVersion(&version) != cudaSuccess)
        return 1;
    std::printf("%d\n", version);

    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0)
        return 0;
    scale<<<1, 32>>>(2.0f);
    return cudaDeviceSynchronize() == cudaSuccess ? 0 : 2;
}
