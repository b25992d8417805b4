/* A fake of the CUDA driver's library: enough that a program "uses" a device of the fake NVML.
 *
 * A context makes its process one that the fake NVML lists on the device, until the context is
 * destroyed or the process ends. As with the real library, CUDA_VISIBLE_DEVICES says which devices
 * there are and in which order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID = 1, NO_DEVICE = 100, DEVICES = 64 };

static char device[DEVICES][96];
static int devices = -1;

static void see(const char *uuid) {
    if (devices < DEVICES) snprintf(device[devices++], sizeof device[0], "%s", uuid);
}

static int is_there(const char *uuid, int cards_only, const char *path) {
    char line[256], kind[16], name[96];
    int found = 0;
    FILE *file = path ? fopen(path, "r") : NULL;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%15s %95s", kind, name) != 2) continue;
        if (strcmp(kind, "device") && (cards_only || strcmp(kind, "instance"))) continue;
        if (uuid) found |= !strcmp(name, uuid);
        else see(name);
    }
    if (file) fclose(file);
    return found;
}

int cuInit(unsigned flags) {
    (void)flags;
    const char *state = getenv("FAKE_NVML_STATE"), *visible = getenv("CUDA_VISIBLE_DEVICES");
    devices = 0;
    if (!visible) is_there(NULL, 1, state);
    else {
        char *list = strdup(visible), *rest = NULL;
        for (char *uuid = strtok_r(list, ",", &rest); uuid; uuid = strtok_r(NULL, ",", &rest)) {
            if (!is_there(uuid, 0, state)) break;      /* what follows an unknown one is hidden */
            see(uuid);
        }
        free(list);
    }
    return devices ? OK : NO_DEVICE;
}
int cuDeviceGetCount(int *count) { *count = devices; return OK; }
int cuDeviceGet(int *to, int ordinal) {
    if (ordinal < 0 || ordinal >= devices) return INVALID;
    *to = ordinal;
    return OK;
}

static void tell(int ordinal, int sign) {
    const char *path = getenv("FAKE_NVML_USERS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%s %d\n", device[ordinal], sign * (int)getpid());
    fclose(file);
}
int cuCtxCreate_v2(void **context, unsigned flags, int ordinal) {
    (void)flags;
    tell(ordinal, 1);
    *context = (void *)(size_t)(ordinal + 1);
    return OK;
}
int cuCtxDestroy_v2(void *context) { tell((int)(size_t)context - 1, -1); return OK; }
int cuMemAlloc_v2(unsigned long long *to, size_t size) { *to = size; return OK; }
int cuMemFree_v2(unsigned long long memory) { (void)memory; return OK; }
