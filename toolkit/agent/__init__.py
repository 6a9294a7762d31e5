"""The program that runs beside the target: locate → enter → confine → run → report back.

Standard library only, single-threaded, every import done before the target is entered. The client imports
`stream` and the constants of `job` from here; everything else runs inside the agent process.
"""
