"""Web: datasets from the Materials Project, OPTIMADE servers and published files; interrupted fetches resume.

Imports importers and reading.

- client: `JsonClient`, patient and bounded; journal: the replies so far
- materials_project: by material or task ids, and the lists of the article
- optimade, optimade_client: any server that speaks OPTIMADE
- public, public_sets: well-known published files
- id_lists: lists of ids, and maps between them
"""
