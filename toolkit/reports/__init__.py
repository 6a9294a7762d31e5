"""What becomes of a scan's outcome: one format in the middle, everything else made from it.

Here belongs what reads, judges, converts or shows a report in Heimdall Data Format (HDF): the model of it
(`hdf`), the way in from other engines' results (`xccdf`), the gate (`threshold`) and the ways out to people
and programs (`console`). Nothing here knows how a report came about: no module of this package may import
anything of the project but `toolkit.errors`. Everything read here was written beside the target and is
hostile until checked; everything shown is escaped for the medium it goes to.
"""
