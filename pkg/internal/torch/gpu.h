// These functions open the CUDA driver's library at run time, since the CPU variant is
// linked without it and libtch has no functions for a GPU's name and memory.
#include <stddef.h>

// gpu_look writes a GPU's name, its memory, and how much of that is free, both in bytes.
// It returns NULL, or what failed.
const char *gpu_look(int number, char *name, int size, size_t *total, size_t *free_now);

// gpu_capability writes a GPU's compute capability, and makes no context on the GPU. It
// returns NULL, or what failed.
const char *gpu_capability(int number, int *major, int *minor);
