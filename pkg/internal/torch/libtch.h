// The functions of gotch's compiled libtch that pkg/internal/torch calls, declared again
// so that no header of libtorch is needed. They follow gotch v0.9.1, libtch/torch_api.h.
#include <stddef.h>
#include <stdint.h>

typedef void *tensor;
typedef void *ivalue;
typedef void *module;

char *get_and_reset_last_err(void);
int at_grad_set_enabled(int);
void at_set_num_threads(int);
int at_get_num_threads();
void at_free(tensor);
tensor at_tensor_of_blob(void *data, int64_t *dims, size_t ndims, int64_t *strides, size_t nstrides, int type, int device);

module atm_load_on_device(char *path, int device);
ivalue atm_method_(module, char *name, ivalue *in, int n);
void atm_free(module);
void atm_set_profiling_mode(int);

ivalue ati_tensor(tensor);
tensor ati_to_tensor(ivalue);
int ati_tag(ivalue);
int ati_tuple_length(ivalue);
void ati_to_tuple(ivalue, ivalue *out, int n);
void ati_free(ivalue);
