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
void at_copy_(tensor dst, tensor src);
void at_free(tensor);

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

void atg_slice(tensor *, tensor self, int64_t dim, int64_t start, uint8_t start_null, int64_t end, uint8_t end_null, int64_t step);
void atg_cat(tensor *, tensor *tensors, int n, int64_t dim);
void atg_to_dtype(tensor *, tensor self, int dtype, int non_blocking, int copy);
void atg_round(tensor *, tensor self);
void atg_clamp(tensor *, tensor self, void *min, void *max);
void atg__upsample_bicubic2d_aa(tensor *, tensor self, int64_t *size, int size_len, int align_corners, double scales_h,
                                uint8_t scales_h_null, double scales_w, uint8_t scales_w_null);
void *ats_float(double);
void ats_free(void *);
