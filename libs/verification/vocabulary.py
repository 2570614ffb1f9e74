"""Lists what an honest change to a library practically never adds: names to match, nothing else."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Calls and names at the process, the interpreter, and code that is loaded past the reader.
NAMES = _words(
    """
    os._exit os.abort os.execv os.execve os.execl os.execlp os.execvp os.fork os.forkpty os.dup2
    signal.raise_signal faulthandler.dump_traceback_later _thread.interrupt_main sys.settrace
    sys.setprofile sys.monitoring threading.settrace threading.setprofile sys.addaudithook sys._getframe
    sys._current_frames sys._getframemodulename sys.meta_path sys.path_hooks sys.last_traceback sys.last_exc
    inspect.stack inspect.currentframe inspect.getouterframes inspect.getinnerframes inspect.trace
    inspect.getgeneratorlocals inspect.getcoroutinelocals traceback.walk_stack traceback.walk_tb
    logging.currentframe gc.get_objects gc.get_referrers gc.get_referents gc.callbacks
    atexit._clear atexit._run_exitfuncs ctypes.pythonapi
    runpy.run_path runpy.run_module runpy._run_code importlib.reload imp.load_source
    importlib.util.spec_from_file_location importlib.util.spec_from_loader importlib.util.module_from_spec
    importlib.machinery.SourceFileLoader importlib.machinery.SourcelessFileLoader
    importlib.machinery.ExtensionFileLoader importlib.machinery.FileFinder importlib.machinery.PathFinder
    importlib._bootstrap importlib._bootstrap_external importlib.__import__ pkgutil.resolve_name
    pkgutil.get_loader pkgutil.find_loader pkgutil.get_importer
    code.InteractiveInterpreter code.InteractiveConsole code.interact code.compile_command
    marshal.load marshal.loads shelve.open shelve.Shelf
    """
)
#: Names that are only a reach when they are called: types of them are asked about honestly.
CALLED = _words("types.FunctionType types.CodeType types.LambdaType object.__setattr__ type.__setattr__")
#: What runs a text as code; only honest with a text that can be read.
RUNNERS = _words("exec eval compile __import__")
MODULES = _words(
    """
    pytest _pytest pluggy unittest nose nose2 doctest xdist hypothesis ctypes _ctypes __main__
    sitecustomize usercustomize _posixsubprocess _testcapi _testinternalcapi faulthandler runpy zipimport
    marshal codeop bdb trace pdb imp
    """
)
FRAMEWORKS = _words("pytest _pytest pluggy unittest nose nose2 doctest xdist hypothesis faulthandler")
ATTRIBUTES = _words(
    """
    f_back f_locals f_globals f_code f_trace f_builtins f_lasti tb_frame tb_next gi_frame gi_code cr_frame
    cr_code ag_frame ag_code __code__ __closure__ __subclasses__ _exit cell_contents _getframe
    _current_frames walk_stack settrace setprofile exec_module _pytestfixturefunction
    """
)
#: Parts of names that are put together only to be matched by nobody.
PREFIXES = ("f_", "tb_", "gi_", "cr_", "ag_", "co_")
WORDS = ("pytest_", "_pytest", "py.test", "conftest", "autopilot_")
ALWAYS = _words("__eq__ __ne__ __bool__ __instancecheck__ __subclasscheck__ __contains__")
#: Modules in which a look-up by a computed name can lead to any of the names above.
DANGEROUS = _words(
    "builtins os posix sys gc inspect traceback types importlib threading _thread ctypes runpy"
)
#: Where a path to files is put together.
PATH_CALLS = _words(
    "open Path PurePath joinpath join glob rglob iterdir exists isfile listdir scandir read_text"
)
#: Packages of others whose functions tests rely on; replacing an attribute of them is replacing a judge.
ASSERTING = _words("numpy pandas attr attrs testtools mock")
