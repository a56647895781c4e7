#include "gpu.h"

#include <dlfcn.h>

// The declarations follow cuda.h: a CUresult of 0 is success, a CUdevice is an int, and a
// CUcontext is a pointer.
const char *gpu_look(int number, char *name, int size, size_t *total, size_t *free_now) {
  void *driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (!driver) return "libcuda.so.1 can't be opened";
  int (*init)(unsigned) = dlsym(driver, "cuInit");
  int (*get)(int *, int) = dlsym(driver, "cuDeviceGet");
  int (*get_name)(char *, int, int) = dlsym(driver, "cuDeviceGetName");
  int (*retain)(void **, int) = dlsym(driver, "cuDevicePrimaryCtxRetain");
  int (*release)(int) = dlsym(driver, "cuDevicePrimaryCtxRelease_v2");
  int (*push)(void *) = dlsym(driver, "cuCtxPushCurrent_v2");
  int (*pop)(void **) = dlsym(driver, "cuCtxPopCurrent_v2");
  int (*memory)(size_t *, size_t *) = dlsym(driver, "cuMemGetInfo_v2");
  // The driver stays open, since libtorch uses it as well.
  if (!init || !get || !get_name || !retain || !release || !push || !pop || !memory) return "the driver lacks a function";
  int device;
  if (init(0) || get(&device, number) || get_name(name, size, device)) return "the driver doesn't know it";
  void *context;
  if (retain(&context, device)) return "its context can't be made";
  int failed = push(context);
  if (!failed) {
    failed = memory(free_now, total);
    pop(&context);
  }
  release(device);
  return failed ? "its memory can't be read" : NULL;
}

// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
enum { capability_major = 75, capability_minor = 76 };

const char *gpu_capability(int number, int *major, int *minor) {
  void *driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (!driver) return "libcuda.so.1 can't be opened";
  int (*init)(unsigned) = dlsym(driver, "cuInit");
  int (*get)(int *, int) = dlsym(driver, "cuDeviceGet");
  int (*attribute)(int *, int, int) = dlsym(driver, "cuDeviceGetAttribute");
  if (!init || !get || !attribute) return "the driver lacks a function";
  int device;
  if (init(0) || get(&device, number)) return "the driver doesn't know it";
  if (attribute(major, capability_major, device) || attribute(minor, capability_minor, device)) {
    return "its compute capability can't be read";
  }
  return NULL;
}
