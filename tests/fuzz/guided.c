/* libFuzzer with Python in it: every input goes to tests.fuzz.guided.one. Made and run by `make fuzz-guided`. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *one;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    PyConfig config;
    (void)argc, (void)argv;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    config.write_bytecode = 0;
    PyConfig_SetBytesString(&config, &config.program_name, getenv("PDNS_PYTHON"));
    PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) Py_ExitStatusException(status);
    PyObject *module = PyImport_ImportModule("tests.fuzz.guided");
    one = module ? PyObject_GetAttrString(module, "one") : NULL;
    if (!one) {
        PyErr_Print();
        exit(1);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    PyObject *result = PyObject_CallFunction(one, "y#", (const char *)data, (Py_ssize_t)size);
    if (!result) {
        PyErr_Print();
        abort();
    }
    Py_DECREF(result);
    return 0;
}
