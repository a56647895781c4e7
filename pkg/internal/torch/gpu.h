// The CUDA driver's library, opened at run time, since the CPU variant is linked
// without it and libtch tells nothing of a GPU.
#include <stddef.h>

// gpu_look writes a GPU's name, its memory and how much of that is free, in bytes. It
// returns NULL, or what failed.
const char *gpu_look(int number, char *name, int size, size_t *total, size_t *free_now);

// gpu_capability writes a GPU's compute capability, which needs no context on it. It
// returns NULL, or what failed.
const char *gpu_capability(int number, int *major, int *minor);
