# Stops when the first byte is about to be printed, and looks who does it. A script in gdb's Python.
import gdb

gdb.execute("break put_bytes")
gdb.execute("continue")
caller = gdb.selected_frame().older().name()
if caller != "puts":
    raise gdb.GdbError(f"called by {caller}, not by puts")
gdb.execute("delete")
gdb.execute("continue")
