/* A fake of NVIDIA's management library for tests: the real pynvml loads it as libnvidia-ml.so.1.
 *
 * What it tells stands in the text file that FAKE_NVML_STATE names, read anew at every call, so that
 * a test changes the machine while processes run. Line by line, numbers in decimal, memory in bytes:
 *
 *   driver VERSION
 *   error FUNCTION|* CODE [UUID]        that call, or every call, fails; on one device where named
 *   device UUID                         a card; what follows is about it
 *   instance UUID                       a MIG instance of that card; what follows is about it
 *   name TEXT | bus ID | memory TOTAL RESERVED USED | mig 0|1 | slices GPU COMPUTE | ids GI CI
 *   compute_mode N | persistence N | ecc UNCORRECTED | remapped PENDING FAILED | busy PERCENT
 *   link INDEX ACTIVE REMOTE_BUS        an NVLink of the card
 *   near UUID UUID LEVEL                the common ancestor of two cards
 *   process compute|graphics|mps PID MEMORY
 *   xid SEQUENCE UUID CODE GI CI        an event; told once to each event set made before it
 *
 * A fact without a line is "not supported". As with the real library, what one process initialised
 * is not initialised in its forked child. With -DOLD_DRIVER the functions that drivers before 510
 * lack are not exported. FAKE_NVML_LOG names a file that is told of each init and shutdown;
 * FAKE_NVML_USERS one in which the fake CUDA beside this file notes who has a context (cuda.c): they
 * are listed as compute processes for as long as they live.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7,
       NO_DRIVER = 9, TIMED_OUT = 10 };
enum { CARDS = 16, INSTANCES = 7, LINKS = 36, PROCESSES = 64, NEAR = 256, XIDS = 64, ERRORS = 64 };
#define SLOTS (INSTANCES + 1)
#define UNKNOWN (-1LL)
#define ANY_INSTANCE 0xFFFFFFFFu

typedef struct { char kind; unsigned pid; long long memory; } Process;
typedef struct { int active; char bus[32]; } Link;
typedef struct {
    char uuid[96], name[96], bus[32];
    long long total, reserved, used, mig, gpu_slices, compute_slices, gi, ci;
    long long compute_mode, persistence, ecc, pending, failed, busy;
    int processes, instances, links;
    Process process[PROCESSES];
    Link link[LINKS];
} Unit;                                   /* slot 0 is the card, the others its instances */
typedef struct { char a[96], b[96]; unsigned level; } Near;
typedef struct { unsigned long long sequence, code; char uuid[96]; unsigned gi, ci; } Xid;
typedef struct { char function[64], uuid[96]; int code; } Error;
typedef struct {
    char driver[80];
    int cards, nears, xids, errors;
    Unit unit[CARDS][SLOTS];
    Near near[NEAR];
    Xid xid[XIDS];
    Error error[ERRORS];
} State;
typedef struct { unsigned long long seen; int cards; char uuid[CARDS][96]; } EventSet;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static State state;
static pid_t owner;
static int users;

static void start(Unit *unit, const char *uuid) {
    memset(unit, 0, sizeof *unit);
    snprintf(unit->uuid, sizeof unit->uuid, "%s", uuid);
    unit->total = unit->mig = unit->gpu_slices = unit->gi = unit->compute_mode = UNKNOWN;
    unit->persistence = unit->ecc = unit->pending = unit->busy = UNKNOWN;
}

static void parse_unit(Unit *u, const char *line) {
    char kind[16], bus[32] = "";
    long long a, b, c;
    int active;
    if (sscanf(line, "name %95[^\n]", u->name) == 1) return;
    if (sscanf(line, "busy %lld", &u->busy) == 1) return;
    if (sscanf(line, "bus %31s", u->bus) == 1) return;
    if (sscanf(line, "memory %lld %lld %lld", &u->total, &u->reserved, &u->used) == 3) return;
    if (sscanf(line, "mig %lld", &u->mig) == 1) return;
    if (sscanf(line, "slices %lld %lld", &u->gpu_slices, &u->compute_slices) == 2) return;
    if (sscanf(line, "ids %lld %lld", &u->gi, &u->ci) == 2) return;
    if (sscanf(line, "compute_mode %lld", &u->compute_mode) == 1) return;
    if (sscanf(line, "persistence %lld", &u->persistence) == 1) return;
    if (sscanf(line, "ecc %lld", &u->ecc) == 1) return;
    if (sscanf(line, "remapped %lld %lld", &u->pending, &u->failed) == 2) return;
    if (sscanf(line, "link %lld %d %31s", &a, &active, bus) >= 2 && a >= 0 && a < LINKS) {
        u->link[a].active = active;
        memcpy(u->link[a].bus, bus, sizeof bus);
        if (u->links <= a) u->links = (int)a + 1;
        return;
    }
    if (sscanf(line, "process %15s %lld %lld", kind, &b, &c) == 3 && u->processes < PROCESSES) {
        Process *p = &u->process[u->processes++];
        p->kind = kind[0], p->pid = (unsigned)b, p->memory = c;
    }
}

static void parse(const char *line, Unit **unit) {
    State *s = &state;
    char uuid[96];
    if (sscanf(line, "driver %79s", s->driver) == 1) return;
    if (s->errors < ERRORS) {
        Error *e = &s->error[s->errors];
        e->uuid[0] = 0;
        if (sscanf(line, "error %63s %d %95s", e->function, &e->code, e->uuid) >= 2) {
            s->errors++;
            return;
        }
    }
    if (s->nears < NEAR) {
        Near *n = &s->near[s->nears];
        if (sscanf(line, "near %95s %95s %u", n->a, n->b, &n->level) == 3) { s->nears++; return; }
    }
    if (s->xids < XIDS) {
        Xid *x = &s->xid[s->xids];
        if (sscanf(line, "xid %llu %95s %llu %u %u", &x->sequence, x->uuid, &x->code, &x->gi,
                   &x->ci) == 5) { s->xids++; return; }
    }
    if (sscanf(line, "device %95s", uuid) == 1 && s->cards < CARDS) {
        *unit = &s->unit[s->cards++][0];
        start(*unit, uuid);
        return;
    }
    if (sscanf(line, "instance %95s", uuid) == 1 && s->cards) {
        Unit *card = &s->unit[s->cards - 1][0];
        if (card->instances == INSTANCES) return;
        *unit = &s->unit[s->cards - 1][++card->instances];
        start(*unit, uuid);
        return;
    }
    if (*unit) parse_unit(*unit, line);
}

static int is_living(int pid) {
    char path[64], line[512], *end;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int living = fgets(line, sizeof line, file) && (end = strrchr(line, ')')) && end[2] != 'Z' &&
                 end[2] != 'X';
    fclose(file);
    return living;
}

static void read_users(void) {
    const char *path = getenv("FAKE_NVML_USERS");
    FILE *file = path ? fopen(path, "r") : NULL;
    char uuid[96];
    int pid;
    while (file && fscanf(file, "%95s %d", uuid, &pid) == 2)
        for (int n = 0; n < state.cards * SLOTS; n++) {
            Unit *u = &state.unit[n / SLOTS][n % SLOTS];
            if (n % SLOTS > state.unit[n / SLOTS][0].instances || strcmp(u->uuid, uuid)) continue;
            if (pid > 0 && is_living(pid) && u->processes < PROCESSES)
                u->process[u->processes++] = (Process){'c', (unsigned)pid, 1 << 28};
            for (int i = 0; pid < 0 && i < u->processes; i++)
                if (u->process[i].pid == (unsigned)-pid) u->process[i--] = u->process[--u->processes];
        }
    if (file) fclose(file);
}

static void read_state(void) {
    const char *path = getenv("FAKE_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    Unit *unit = NULL;
    state.cards = state.nears = state.xids = state.errors = 0;
    strcpy(state.driver, "000.00");
    while (file && fgets(line, sizeof line, file)) parse(line, &unit);
    if (file) fclose(file), read_users();
    else {                                 /* no state is a machine whose driver is not loaded */
        strcpy(state.error[0].function, "nvmlInitWithFlags");
        state.error[0].uuid[0] = 0, state.error[0].code = NO_DRIVER, state.errors = 1;
    }
}

static int failing(const char *function, const char *uuid) {
    for (int i = 0; i < state.errors; i++) {
        Error *e = &state.error[i];
        if (strcmp(e->function, "*") && strcmp(e->function, function)) continue;
        if (!e->uuid[0] || (uuid && !strcmp(e->uuid, uuid))) return e->code;
    }
    return OK;
}

static void tell(const char *what) {
    const char *path = getenv("FAKE_NVML_LOG");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) fprintf(file, "%s %d\n", what, (int)getpid()), fclose(file);
}

/* A handle says where the unit stands: 1 + card * SLOTS + slot. */
static Unit *unit_of(void *handle) {
    uintptr_t n = (uintptr_t)handle - 1;
    if (!handle || n / SLOTS >= (uintptr_t)state.cards) return NULL;
    Unit *card = state.unit[n / SLOTS];
    return (int)(n % SLOTS) > card->instances ? NULL : &card[n % SLOTS];
}
static int is_instance(void *handle) { return ((uintptr_t)handle - 1) % SLOTS != 0; }
static void *handle_of(int card, int slot) { return (void *)(uintptr_t)(1 + card * SLOTS + slot); }

static int enter(const char *function, void *handle, Unit **unit) {
    pthread_mutex_lock(&lock);
    read_state();
    if (owner != getpid() || !users) return UNINITIALIZED;
    if (unit && !(*unit = unit_of(handle))) return INVALID;
    return failing(function, unit ? (*unit)->uuid : NULL);
}
static int leave(int code) { pthread_mutex_unlock(&lock); return code; }

#define BEGIN Unit *u = NULL; int bad = enter(__func__, device, &u); if (bad) return leave(bad)
#define BEGIN_ALL int bad = enter(__func__, NULL, NULL); if (bad) return leave(bad)
#define TELL(known, where, what) \
    do { if ((known) == UNKNOWN) return leave(UNSUPPORTED); *(where) = (what); } while (0)

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    read_state();
    int bad = failing(__func__, NULL);
    if (bad) return leave(bad);
    if (owner != getpid()) owner = getpid(), users = 0;
    users++;
    tell("init");
    return leave(OK);
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) {
    BEGIN_ALL;
    users--;
    tell("shutdown");
    return leave(OK);
}
const char *nvmlErrorString(int code) { (void)code; return "as the test said"; }

static int text(const char *from, char *to, unsigned size) {
    if (strlen(from) >= size) return TOO_SMALL;
    strcpy(to, from);
    return OK;
}
int nvmlSystemGetDriverVersion(char *to, unsigned size) {
    BEGIN_ALL;
    return leave(text(state.driver, to, size));
}
int nvmlSystemGetNVMLVersion(char *to, unsigned size) {
    BEGIN_ALL;
    return leave(text(state.driver, to, size));
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { BEGIN_ALL; *version = 12040; return leave(OK); }
int nvmlSystemGetCudaDriverVersion(int *version) { BEGIN_ALL; *version = 12040; return leave(OK); }

int nvmlDeviceGetCount_v2(unsigned *count) {
    BEGIN_ALL;
    *count = (unsigned)state.cards;
    return leave(OK);
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    BEGIN_ALL;
    if (index >= (unsigned)state.cards) return leave(INVALID);
    bad = failing(__func__, state.unit[index][0].uuid);
    if (bad) return leave(bad);
    *device = handle_of((int)index, 0);
    return leave(OK);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    BEGIN_ALL;
    for (int card = 0; card < state.cards; card++)
        for (int slot = 0; slot <= state.unit[card][0].instances; slot++) {
            if (strcmp(state.unit[card][slot].uuid, uuid)) continue;
            bad = failing(__func__, uuid);
            if (bad) return leave(bad);
            *device = handle_of(card, slot);
            return leave(OK);
        }
    return leave(NOT_FOUND);
}
int nvmlDeviceGetIndex(void *device, unsigned *index) {
    BEGIN;
    *index = (unsigned)(((uintptr_t)device - 1) / SLOTS);
    return leave(OK);
}
int nvmlDeviceGetMinorNumber(void *device, unsigned *minor) {
    BEGIN;
    *minor = (unsigned)(((uintptr_t)device - 1) / SLOTS);
    return leave(OK);
}
int nvmlDeviceGetUUID(void *device, char *to, unsigned size) {
    BEGIN;
    return leave(text(u->uuid, to, size));
}
int nvmlDeviceGetName(void *device, char *to, unsigned size) {
    BEGIN;
    return leave(text(u->name, to, size));
}

typedef struct {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
} Pci;
static int pci(const char *bus, Pci *to) {
    memset(to, 0, sizeof *to);
    if (sscanf(bus, "%x:%x:%x", &to->domain, &to->bus, &to->device) != 3) return UNSUPPORTED;
    snprintf(to->bus_id, sizeof to->bus_id, "%s", bus);
    snprintf(to->legacy, sizeof to->legacy, "%s", strlen(bus) > 12 ? bus + 4 : bus);
    return OK;
}
int nvmlDeviceGetPciInfo_v3(void *device, Pci *to) { BEGIN; return leave(pci(u->bus, to)); }

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
int nvmlDeviceGetMemoryInfo(void *device, Memory *to) {
    BEGIN;
    TELL(u->total, &to->total, (unsigned long long)u->total);
    to->used = (unsigned long long)(u->used + u->reserved); /* version 1 counts what is reserved */
    to->free = to->total - to->used;
    return leave(OK);
}
#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(void *device, Memory2 *to) {
    BEGIN;
    if (to->version != (sizeof *to | 2u << 24)) return leave(25);
    TELL(u->total, &to->total, (unsigned long long)u->total);
    to->used = (unsigned long long)u->used, to->reserved = (unsigned long long)u->reserved;
    to->free = to->total - to->used - to->reserved;
    return leave(OK);
}
#endif

int nvmlDeviceGetComputeMode(void *device, unsigned *mode) {
    BEGIN; TELL(u->compute_mode, mode, (unsigned)u->compute_mode); return leave(OK);
}
int nvmlDeviceGetPersistenceMode(void *device, unsigned *mode) {
    BEGIN; TELL(u->persistence, mode, (unsigned)u->persistence); return leave(OK);
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *to) {
    BEGIN; TELL(u->busy, to, (unsigned)u->busy); to[1] = 0; return leave(OK);
}
int nvmlDeviceGetTotalEccErrors(void *device, unsigned type, unsigned counter,
                                unsigned long long *count) {
    BEGIN;                                 /* uncorrected and volatile; of others there are none */
    TELL(u->ecc, count, type == 1 && counter == 0 ? (unsigned long long)u->ecc : 0);
    return leave(OK);
}
int nvmlDeviceGetRemappedRows(void *device, unsigned *corrected, unsigned *uncorrected,
                              unsigned *pending, unsigned *failed) {
    BEGIN;
    TELL(u->pending, pending, (unsigned)u->pending);
    *failed = (unsigned)u->failed, *corrected = 0, *uncorrected = *pending;
    return leave(OK);
}
int nvmlDeviceGetNvLinkState(void *device, unsigned link, unsigned *active) {
    BEGIN;
    if (!u->links) return leave(UNSUPPORTED);
    if (link >= (unsigned)u->links) return leave(INVALID);
    *active = (unsigned)u->link[link].active;
    return leave(OK);
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void *device, unsigned link, Pci *to) {
    BEGIN;
    if (link >= (unsigned)u->links) return leave(INVALID);
    return leave(pci(u->link[link].bus, to));
}
int nvmlDeviceGetTopologyCommonAncestor(void *device, void *other, unsigned *level) {
    BEGIN;
    Unit *o = unit_of(other);
    if (!o) return leave(INVALID);
    for (int i = 0; i < state.nears; i++) {
        Near *n = &state.near[i];
        if ((!strcmp(n->a, u->uuid) && !strcmp(n->b, o->uuid)) ||
            (!strcmp(n->b, u->uuid) && !strcmp(n->a, o->uuid))) {
            *level = n->level;
            return leave(OK);
        }
    }
    return leave(UNSUPPORTED);
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    BEGIN;
    TELL(u->mig, current, (unsigned)u->mig);
    *pending = *current;
    return leave(OK);
}
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count) {
    BEGIN; TELL(u->mig, count, INSTANCES); return leave(OK);
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **instance) {
    BEGIN;
    if (index >= (unsigned)u->instances) return leave(NOT_FOUND);
    *instance = (char *)device + index + 1;
    return leave(OK);
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *device, void **card) {
    BEGIN;
    if (!is_instance(device)) return leave(INVALID);
    *card = handle_of((int)(((uintptr_t)device - 1) / SLOTS), 0);
    return leave(OK);
}
int nvmlDeviceIsMigDeviceHandle(void *device, unsigned *is) {
    BEGIN; *is = (unsigned)is_instance(device); return leave(OK);
}
int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id) {
    BEGIN; TELL(u->gi, id, (unsigned)u->gi); return leave(OK);
}
int nvmlDeviceGetComputeInstanceId(void *device, unsigned *id) {
    BEGIN; TELL(u->gi, id, (unsigned)u->ci); return leave(OK);
}
typedef struct { unsigned units[6], gpu_slices, compute_slices; unsigned long long memory_mb; } Attributes;
int nvmlDeviceGetAttributes_v2(void *device, Attributes *to) {
    BEGIN;
    memset(to, 0, sizeof *to);
    TELL(u->gpu_slices, &to->gpu_slices, (unsigned)u->gpu_slices);
    to->compute_slices = (unsigned)u->compute_slices;
    to->memory_mb = (unsigned long long)u->total >> 20;
    return leave(OK);
}

typedef struct { unsigned pid; unsigned long long memory; unsigned gi, ci; } Running;
static int running(Unit *u, void *device, char kind, unsigned *count, Running *to) {
    unsigned found = 0, room = *count;
    int slots = is_instance(device) ? 0 : u->instances;     /* a card lists its instances' too */
    for (int slot = 0; slot <= slots; slot++)
        for (int i = 0; i < u[slot].processes; i++) {
            Process *p = &u[slot].process[i];
            if (p->kind != kind) continue;
            if (to && found < room)
                to[found] = (Running){p->pid, (unsigned long long)p->memory, ANY_INSTANCE, ANY_INSTANCE};
            found++;
        }
    *count = found;
    return found > room ? TOO_SMALL : OK;
}
#define PROCESS_LIST(function, kind)                                 \
    int function(void *device, unsigned *count, Running *to) {       \
        BEGIN; return leave(running(u, device, kind, count, to));    \
    }
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2, 'c')
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, 'g')
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, 'm')
#ifndef OLD_DRIVER
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, 'c')
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, 'g')
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, 'm')
#endif

int nvmlDeviceGetSupportedEventTypes(void *device, unsigned long long *types) {
    BEGIN; *types = 0x1f; return leave(OK);
}
int nvmlEventSetCreate(EventSet **set) {
    BEGIN_ALL;
    *set = calloc(1, sizeof **set);
    for (int i = 0; i < state.xids; i++)
        if (state.xid[i].sequence > (*set)->seen) (*set)->seen = state.xid[i].sequence;
    return leave(OK);
}
int nvmlDeviceRegisterEvents(void *device, unsigned long long types, EventSet *set) {
    BEGIN;
    (void)types;
    if (set->cards < CARDS) strcpy(set->uuid[set->cards++], u->uuid);
    return leave(OK);
}
typedef struct { void *device; unsigned long long type, data; unsigned gi, ci; } Event;
static int next_event(EventSet *set, Event *to) {
    for (int i = 0; i < state.xids; i++) {
        Xid *x = &state.xid[i];
        if (x->sequence <= set->seen) continue;
        set->seen = x->sequence;
        for (int card = 0; card < state.cards; card++)
            for (int n = 0; n < set->cards; n++)
                if (!strcmp(state.unit[card][0].uuid, x->uuid) && !strcmp(set->uuid[n], x->uuid)) {
                    *to = (Event){handle_of(card, 0), 8, x->code, x->gi, x->ci};
                    return OK;
                }
    }
    return TIMED_OUT;
}
int nvmlEventSetWait_v2(EventSet *set, Event *to, unsigned timeout_ms) {
    for (unsigned waited = 0;; waited += 20) {
        BEGIN_ALL;
        int code = leave(next_event(set, to));
        if (code == OK || waited >= timeout_ms) return code;
        usleep(20000);
    }
}
int nvmlEventSetFree(EventSet *set) { free(set); return OK; }
